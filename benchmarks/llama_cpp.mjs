// llama.cpp by node-llama-cpp: for each line on stdin decodes so many tokens after a prompt of 32, and prints the seconds
// that the processor and the clock took for them. `node llama_cpp.mjs FOLDER MODEL.gguf`, FOLDER holding node_modules.

import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";
import {resolve} from "node:path";

const [, , folder, path] = process.argv;
const entry = pathToFileURL(resolve(folder, "node_modules/node-llama-cpp/dist/index.js"));
const {getLlama} = await import(entry);
const llama = await getLlama({build: "never", logLevel: "error", gpu: false, maxThreads: 1});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 512, batchSize: 64, threads: {ideal: 1, min: 1}});
const sequence = context.getSequence();
const prompt = Array.from({length: 32}, (_, i) => 100 + i);

console.log("ready");
for await (const line of createInterface({input: process.stdin})) {
    await sequence.clearHistory();
    let left = Number(line), cpu, clock;
    for await (const _ of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
        // The first token comes of the prompt; those after it are counted.
        if (cpu === undefined) {
            cpu = process.cpuUsage();
            clock = performance.now();
        } else if (--left === 0) break;
    }
    const used = process.cpuUsage(cpu);
    console.log(JSON.stringify({cpu: (used.user + used.system) / 1e6, clock: (performance.now() - clock) / 1e3}));
}
process.exit(0);
