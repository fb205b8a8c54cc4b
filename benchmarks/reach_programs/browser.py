"""LiteRT.js in headless Chromium: the page of docs/browser, whose classifier is given views instead of photographs.

The page's folder is served from one place, as its documentation says; the browser sends the outputs back.
"""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

_PAGE = Path(__file__).parents[2] / "docs" / "browser"
_DRIVER = """<!doctype html>
<script type="importmap">{"imports": {"@litertjs/core": "./@litertjs/core/dist/index.js",
  "@litertjs/wasm-utils": "./@litertjs/wasm-utils/dist/index.js"}}</script>
<script type="module">
import { loadClassifier, viewOf } from "./classify.js";
const results = {};
try {
  const classifier = await loadClassifier("model.tflite", "class_names.txt", "@litertjs/core/wasm/");
  const views = new Float32Array(await (await fetch("views.bin")).arrayBuffer());
  const step = classifier.size ** 2 * 3;
  for (let start = 0; start < views.length; start += step)
    for (const [name, value] of Object.entries(await classifier.outputs(views.slice(start, start + step))))
      (results[name] ??= []).push(Array.from(value));
  results.photo_views = [];
  for (const photo of await (await fetch("photos.json")).json()) {
    const bitmap = await createImageBitmap(await (await fetch(photo)).blob(), { colorSpaceConversion: "none" });
    results.photo_views.push(Array.from(viewOf(bitmap, classifier.size), (value) => Math.round(255 * value)));
  }
} catch (error) { results.error = String(error); }
await fetch("results", {method: "POST", body: JSON.stringify(results)});
</script>
"""
_PATIENCE_SECONDS = 600


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder and keeps what is posted to it."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm", ".mjs": "text/javascript"}

    def __init__(self, *arguments: Any, posted: dict[str, Any], done: threading.Event, **named: Any) -> None:
        self._posted, self._done = posted, done
        super().__init__(*arguments, **named)

    def do_POST(self) -> None:
        """Takes the results."""
        self._posted.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        self._done.set()

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


def main(path: str, source: str, target: str, node_folder: str, *photos: str) -> None:
    """Fills a folder as the page's documentation says, opens it in the browser, and writes the outputs by name.

    Of photographs, the page's views are written too: photo_views, [M, S * S * 3] from 0 to 255.
    """
    with np.load(source) as arrays, tempfile.TemporaryDirectory() as temporary:
        folder, packages = Path(temporary), Path(node_folder) / "node_modules"
        shutil.copytree(_PAGE, folder, dirs_exist_ok=True)
        shutil.copytree(packages / "@litertjs", folder / "@litertjs")
        shutil.copy(path, folder / "model.tflite")
        shutil.copy(Path(path).parent / "class_names.txt", folder)
        (arrays["views"].astype(np.float32) / np.float32(255)).tofile(folder / "views.bin")
        (folder / "driver.html").write_text(_DRIVER)
        names = [f"photo{number}" for number in range(len(photos))]
        for name, photo in zip(names, photos, strict=True):
            shutil.copy(photo, folder / name)
        (folder / "photos.json").write_text(json.dumps(names))
        posted, done = {}, threading.Event()
        handler = functools.partial(_Handler, directory=folder, posted=posted, done=done)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
            address = f"http://127.0.0.1:{server.server_port}/driver.html"
            browser = subprocess.Popen(["chromium", *words, address], stderr=subprocess.DEVNULL)
            try:
                if not done.wait(_PATIENCE_SECONDS):
                    raise SystemExit("The browser has sent nothing.")
            finally:
                browser.kill()
                browser.wait()
                server.shutdown()
    if "error" in posted:
        raise SystemExit(posted["error"])
    version = json.loads((packages / "@litertjs" / "core" / "package.json").read_text())["version"]
    chromium = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    outputs = {name: np.array(rows, np.float32) for name, rows in posted.items()}
    np.savez(target, version=f"{version}, Chromium {chromium}", **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
