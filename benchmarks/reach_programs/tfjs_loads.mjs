// TensorFlow.js: node tfjs_loads.mjs MODEL_FOLDER VIEWS.bin SIZE COUNT OUT.json, packages from the folder of node_modules
// in NODE_FOLDER. VIEWS.bin holds float32 [COUNT, SIZE, SIZE, 3].
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_FOLDER}/`);
const tf = require("@tensorflow/tfjs");
const [folder, source, size, count, target] = process.argv.slice(2);
const side = Number(size);
const manifest = JSON.parse(readFileSync(`${folder}/model.json`));
const paths = manifest.weightsManifest.flatMap((group) => group.paths);
const weights = Buffer.concat(paths.map((path) => readFileSync(`${folder}/${path}`)));
const model = await tf.loadGraphModel(
  tf.io.fromMemory({
    modelTopology: manifest.modelTopology,
    signature: manifest.signature,
    weightSpecs: manifest.weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  }),
);
const bytes = readFileSync(source);
const views = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
// Name of a tensor in the graph -> name of the output.
const names = Object.fromEntries(Object.entries(manifest.signature.outputs).map(([name, { name: tensor }]) => [tensor, name]));
const outputs = {};
const step = side * side * 3;
for (let index = 0; index < Number(count); index++) {
  const image = tf.tensor4d(views.subarray(index * step, (index + 1) * step), [1, side, side, 3]);
  const found = await model.predict(image);
  const tensors = found instanceof tf.Tensor ? [found] : Array.isArray(found) ? found : Object.values(found);
  const keys = found instanceof tf.Tensor || Array.isArray(found) ? model.outputNodes : Object.keys(found);
  tensors.forEach((tensor, k) => (outputs[names[keys[k]] ?? keys[k]] ??= []).push(Array.from(tensor.dataSync())));
  tf.dispose([image, found]);
}
writeFileSync(target, JSON.stringify({ version: tf.version.tfjs, outputs }));
