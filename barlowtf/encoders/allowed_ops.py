"""The operations that a SavedModel may hold, see `barlowtf.encoders.saved_model_scan`.

What barlowtf's own exports and encoders of Keras' layers are made of: arithmetic on tensors, image decoding from bytes
that are given, datasets from tensors that are given. None of them opens a file, a connection or a process, or calls
Python.
"""

# What saves and restores variables: these read and write files.
SAVER_OPS = frozenset("MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename".split())

_STRUCTURE = """
    Assert CheckNumerics Const ControlTrigger DeepCopy DisableCopyOnRead EnsureShape GuaranteeConst Identity IdentityN
    NoOp Placeholder PlaceholderWithDefault PreventGradient Snapshot StopGradient
    StatefulPartitionedCall PartitionedCall
    Case If StatelessCase StatelessIf StatelessWhile While
    Enter Exit LoopCond Merge NextIteration Switch RefSwitch
"""
_VARIABLES = """
    AssignAddVariableOp AssignSubVariableOp AssignVariableOp ReadVariableOp VarHandleOp VarIsInitializedOp
    VariableShape ResourceGather ResourceGatherNd
"""
_SHAPES = """
    BatchToSpaceND BroadcastArgs BroadcastTo Concat ConcatV2 DepthToSpace ExpandDims Fill Gather GatherNd GatherV2
    InvertPermutation LinSpace ListDiff MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3
    MatrixSetDiagV3 MirrorPad OneHot OnesLike Pack Pad PadV2 Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll
    ScatterNd Shape ShapeN Size Slice SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice TensorScatterAdd
    TensorScatterUpdate Tile Transpose Unpack Where ZerosLike
    EmptyTensorList TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
    TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem TensorListStack
    TensorArrayV3 TensorArrayCloseV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArrayWriteV3
"""
_ARITHMETIC = """
    Abs Acos Acosh Add AddN AddV2 AccumulateNV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh
    BatchMatMul BatchMatMulV2 BatchMatMulV3 Betainc BiasAdd BitwiseAnd BitwiseOr BitwiseXor Bitcast Bucketize Cast Ceil
    ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp Digamma Div DivNoNan Einsum
    Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual IFFT2D FFT2D RFFT2D IRFFT2D Imag Inv
    IsFinite IsInf IsNan L2Loss LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max
    Maximum Mean Min Minimum Mod Mul MulNoNan Neg NextAfter NotEqual Pow Prod Real RealDiv Reciprocal RightShift Rint
    Round Rsqrt SegmentMax SegmentMean SegmentSum Select SelectV2 Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square
    SquaredDifference Sub Sum Tan Tanh TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentSum Xdivy Xlog1py Xlogy
    TopK TopKV2 InTopKV2 NthElement Unique UniqueV2 Bincount DenseBincount HistogramFixedWidth
    Cholesky Svd Qr MatrixInverse MatrixDeterminant MatrixSolve SelfAdjointEigV2
"""
_LAYERS = """
    AvgPool AvgPool3D Conv Conv1D Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 CudnnRNN CudnnRNNV3
    DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput Dilation2D Elu FractionalAvgPool FractionalMaxPool
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2
    MaxPoolWithArgmax Relu Relu6 Selu Softmax SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits
    BatchNormWithGlobalNormalization ExtractImagePatches FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
    FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
"""
_RANDOM = """
    Bernoulli Multinomial RandomGamma RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt TruncatedNormal
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform
    StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2
    RngReadAndSkip RngSkip StatefulStandardNormalV2 StatefulUniform StatefulUniformInt
"""
_IMAGES = """
    AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage
    DecodeJpeg DecodePng DecodeWebP ExtractGlimpse ExtractJpegShape HSVToRGB ImageProjectiveTransformV2
    ImageProjectiveTransformV3 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
"""
# Text: what signatures of bytes need to look at the first of them, and to name classes. `DecodeRaw` copies bytes.
_TEXT = """
    AsString DecodePaddedRaw DecodeRaw ParseExample ParseExampleV2 ReduceJoin RegexFullMatch StaticRegexFullMatch
    StringFormat StringJoin StringLength StringLower StringSplitV2 StringToNumber StringUpper Substr
"""
_DATASETS = """
    AnonymousIteratorV3 BatchDatasetV2 ConcatenateDataset DatasetCardinality DatasetToSingleElement DeleteIterator
    FilterDataset FinalizeDataset IgnoreErrorsDataset IteratorGetNext IteratorGetNextAsOptional IteratorGetNextSync
    MakeIterator MapAndBatchDataset MapDataset MaxIntraOpParallelismDataset ModelDataset OptimizeDatasetV2
    OptionalGetValue OptionalHasValue OptionsDataset PaddedBatchDatasetV2 ParallelBatchDataset ParallelMapDatasetV2
    PrefetchDataset PrivateThreadPoolDataset RangeDataset RebatchDataset RebatchDatasetV2 ReduceDataset
    RewriteDataset SkipDataset TakeDataset TensorDataset TensorSliceDataset UnbatchDataset ZipDataset
"""

ALLOWED_OPS = frozenset(
    " ".join((_STRUCTURE, _VARIABLES, _SHAPES, _ARITHMETIC, _LAYERS, _RANDOM, _IMAGES, _TEXT, _DATASETS)).split()
)
