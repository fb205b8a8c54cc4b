// A LiteRT file that barlowtf has exported (--format tflite --batch 1), run by LiteRT.js in a browser.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

let runtime; // LiteRT.js is loaded once in a page.

/**
 * Loads a model with a classifier and the names of its classes.
 *
 * @param {string} modelPath images [1, S, S, 3], float32 in [0, 1] or, of int8.tflite, uint8; normalization inside.
 * @param {string} namesPath class_names.txt, a name a line.
 * @param {string} wasmFolder The folder wasm of the package @litertjs/core.
 * @returns {Promise<{size: number, classify: (view: Float32Array) => Promise<{name: string, probability: number}[]>,
 *   outputs: (view: Float32Array) => Promise<Record<string, Float32Array>>}>} Side S of a view in pixels; classes by
 *   falling probability; all outputs by name.
 */
export async function loadClassifier(modelPath, namesPath, wasmFolder) {
  const answer = await fetch(namesPath);
  if (!answer.ok) throw new Error(`there is no ${namesPath}: the export needs a classifier (--head)`);
  const names = (await answer.text()).split("\n").slice(0, -1);
  const found = await fetch(modelPath);
  if (!found.ok) throw new Error(`there is no ${modelPath}`);
  await (runtime ??= loadLiteRt(wasmFolder));
  const model = await loadAndCompile(new Uint8Array(await found.arrayBuffer()), { accelerator: "wasm" });
  const [input] = model.getInputDetails();
  const [count, size, , channels] = input.shape;
  if (count !== 1 || channels !== 3) throw new Error(`the model takes [${input.shape}], expected [1, S, S, 3]: export it with --batch 1`);

  async function outputs(view) {
    // int8.tflite takes whole numbers from 0 to 255.
    const pixels = /uint8/i.test(input.dtype) ? Uint8Array.from(view, (value) => Math.round(255 * value)) : view;
    const images = new Tensor(pixels, [1, size, size, 3]);
    const results = await model.run({ [input.name]: images });
    const values = Object.entries(results).map(([name, tensor]) => [name, Float32Array.from(tensor.toTypedArray())]);
    [images, ...Object.values(results)].forEach((tensor) => tensor.delete());
    return Object.fromEntries(values);
  }

  async function classify(view) {
    const { probabilities } = await outputs(view);
    const classes = names.map((name, index) => ({ name, probability: probabilities[index] }));
    return classes.sort((one, other) => other.probability - one.probability);
  }

  return { size, classify, outputs };
}

/**
 * Returns the center of an image as barlowtf's encoders are evaluated on it.
 *
 * The short side becomes size * 256 / 224 (below 64 pixels: size), antialiased and bilinear; transparent parts are white.
 *
 * @param {ImageBitmap} bitmap Any size.
 * @param {number} size Side of the view, pixels.
 * @returns {Float32Array} [size, size, 3] in [0, 1].
 */
export function viewOf(bitmap, size) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data; // [height, width, 4]
  const short = size < 64 ? size : Math.round((size * 256) / 224);
  const rows = windows(height, short, Math.min(width, height), size);
  const columns = windows(width, short, Math.min(width, height), size);
  const narrow = new Float32Array(height * size * 3); // [height, size, 3]
  for (let y = 0; y < height; y++)
    columns.forEach(({ first, weights }, x) =>
      weights.forEach((weight, k) => {
        for (let c = 0; c < 3; c++) narrow[(y * size + x) * 3 + c] += weight * pixels[(y * width + first + k) * 4 + c];
      }));
  const view = new Float32Array(size * size * 3);
  rows.forEach(({ first, weights }, y) =>
    weights.forEach((weight, k) => {
      for (let i = 0; i < size * 3; i++) view[y * size * 3 + i] += weight * narrow[(first + k) * size * 3 + i];
    }));
  return view.map((value) => Math.min(255, Math.max(0, Math.round(value))) / 255);
}

/** Returns for each of `size` places which pixels of `length` it is the weighted mean of: triangles, wider where pixels are many. */
function windows(length, short, shortest, size) {
  const resized = Math.floor((short * length) / shortest);
  const scale = resized / length;
  const offset = halfToEven((resized - size) / 2);
  const reach = Math.max(1, 1 / scale);
  return Array.from({ length: size }, (_, place) => {
    const center = (place + offset + 0.5) / scale;
    const first = Math.max(0, Math.ceil(center - reach - 0.5));
    const last = Math.min(length - 1, Math.floor(center + reach - 0.5));
    const weights = Array.from({ length: last - first + 1 }, (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - center) / reach));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Returns the nearest whole number; of two, the even one. */
function halfToEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
