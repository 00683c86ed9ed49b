// Holds one session with Google's SDK for JavaScript: session.mjs FAMILY PORT PCM OUT, prints what it saw as JSON.

import {readFileSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';

// The SDK lies in a cache of its own, where imports of this file do not look.
const {GoogleGenAI, Modality} = createRequire(join(process.env.SDK_DIR, 'here.js'))('@google/genai');

const CHUNK = 3200; // 100 ms of 16 kHz PCM
const [family, port, pcmFile, outFile] = process.argv.slice(2);
const pcm = readFileSync(pcmFile);
const half = Math.floor(pcm.length / 4) * 2;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const seen = {
  go_away: [], handle: null, usage: 0, input: '', output: '', generation_complete: 0, turn_complete: 0, sessions: 0,
};
const audio = [];

function config(handle) {
  const common = {
    responseModalities: [Modality.AUDIO],
    inputAudioTranscription: {},
    outputAudioTranscription: {},
    sessionResumption: handle ? {handle} : {},
    contextWindowCompression: {triggerTokens: '104857', slidingWindow: {targetTokens: '52428'}},
  };
  if (family === 'translate') {
    return {...common, translationConfig: {targetLanguageCode: 'es', echoTargetLanguage: false}};
  }
  return {
    ...common,
    systemInstruction: 'Interpret into Spanish.',
    realtimeInputConfig: {automaticActivityDetection: {disabled: true}, activityHandling: 'NO_INTERRUPTION'},
  };
}

function note(message, state) {
  if (message.setupComplete) state.ready();
  if (message.goAway) {
    seen.go_away.push(message.goAway.timeLeft);
    state.goAway = true;
  }
  const update = message.sessionResumptionUpdate;
  if (update?.resumable && update.newHandle) seen.handle = update.newHandle;
  if (message.usageMetadata) seen.usage += 1;
  const content = message.serverContent;
  for (const part of content?.modelTurn?.parts ?? []) {
    if (part.inlineData) audio.push(Buffer.from(part.inlineData.data, 'base64'));
  }
  seen.input += content?.inputTranscription?.text ?? '';
  seen.output += content?.outputTranscription?.text ?? '';
  if (content?.generationComplete) seen.generation_complete += 1;
  if (content?.turnComplete) {
    seen.turn_complete += 1;
    state.turn = true;
  }
}

async function hold(client, model, piece) {
  const state = {goAway: false, turn: false, over: false};
  const resumed = seen.handle;
  const ready = new Promise((done) => (state.ready = done));
  const failed = new Promise((_, fail) => (state.fail = fail));
  let closed;
  const gone = new Promise((done) => (closed = done));
  const session = await client.live.connect({
    model,
    config: config(seen.handle),
    callbacks: {
      onmessage: (message) => note(message, state),
      onerror: (event) => state.fail(new Error(`error event: ${event.message}`)),
      onclose: (event) => {
        if (!state.over) state.fail(new Error(`closed by the service: ${event.code} ${event.reason}`));
        closed();
      },
    },
  });
  await Promise.race([ready, failed]);
  seen.sessions += 1;
  // goAway was said, the dialogue's turn is over, and there is a new handle to go on with.
  const isDone = () => state.goAway && (state.turn || family === 'translate') && seen.handle !== resumed;
  const talk = async () => {
    if (family === 'dialogue') session.sendRealtimeInput({activityStart: {}});
    const start = Date.now();
    for (let number = 0; !isDone(); number += 1) {
      const chunk = piece.subarray(number * CHUNK, (number + 1) * CHUNK);
      if (chunk.length === 0 && family === 'dialogue') break;
      const data = (chunk.length ? chunk : Buffer.alloc(CHUNK)).toString('base64');
      session.sendRealtimeInput({audio: {data, mimeType: 'audio/pcm;rate=16000'}});
      await sleep(Math.max(0, start + (number + 1) * 100 - Date.now()));
    }
    if (family === 'dialogue') session.sendRealtimeInput({activityEnd: {}});
    while (!isDone()) await sleep(20);
  };
  await Promise.race([talk(), failed]);
  state.over = true;
  session.close();
  await gone;
}

const model = family === 'translate' ? 'gemini-3.5-live-translate-preview' : 'gemini-3.8-live';
const client = new GoogleGenAI({apiKey: 'SDK_TEST_KEY', httpOptions: {baseUrl: `https://localhost:${port}`}});
for (const piece of [pcm.subarray(0, half), pcm.subarray(half)]) {
  await hold(client, model, piece);
}
writeFileSync(outFile, Buffer.concat(audio));
console.log(JSON.stringify(seen));
