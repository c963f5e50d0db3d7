// Compares goldens/tokenizer_ids.json with llama.cpp, and writes goldens/smollm2_ids.json: the ids that llama.cpp
// gives for the demo model. Needs the npm package node-llama-cpp 3.22.1.
//
//     node check_llama_cpp.mjs PATH_OF_THE_DEMO_MODEL.gguf

import fs from "node:fs";
import {getLlama} from "node-llama-cpp";

const goldens = new URL("goldens/", import.meta.url);
const read = name => JSON.parse(fs.readFileSync(new URL(name, goldens), "utf8"));
const llama = await getLlama({gpu: false, build: "never"});

async function tokenize(path, texts) {
    const model = await llama.loadModel({modelPath: path, vocabOnly: true});
    const ids = texts.map(text => Array.from(model.tokenize(text, true)));
    await model.dispose();
    return ids;
}

for (const [name, cases] of Object.entries(read("tokenizer_ids.json"))) {
    const path = new URL(`tokenizer_${name}.gguf`, goldens).pathname;
    const found = await tokenize(path, cases.map(({text}) => text));
    const different = cases.filter(({ids}, index) => JSON.stringify(ids) !== JSON.stringify(found[index]));
    console.log(`${name}: ${cases.length - different.length} of ${cases.length} texts agree`);
    for (const {text, ids} of different) {
        console.log(`  ${JSON.stringify(text)}\n    ${ids}\n    ${found[cases.findIndex(c => c.text === text)]}`);
    }
}

const texts = JSON.parse(fs.readFileSync(new URL("texts.json", import.meta.url), "utf8"));
texts.push("<|im_start|>user\nWhat is 12345?<|im_end|>\n");
const ids = await tokenize(process.argv[2], texts);
const cases = texts.map((text, index) => ({text, ids: ids[index]}));
fs.writeFileSync(new URL("smollm2_ids.json", goldens), JSON.stringify(cases, null, 0) + "\n");
process.exit(0);
