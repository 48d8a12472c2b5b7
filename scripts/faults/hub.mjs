// A hub that lies, fails and falls silent, at a random place and for a random time: downloads must come to the right
// bytes, or be refused with one line that says where. A fault that passes must be outlived, and each retry told.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startHubServer } from '../../packages/core/dist/inner.js';
import { lineFault } from './lib/campaign.mjs';
import { LimitedProcess } from './lib/limited.mjs';
import { random } from './lib/random.mjs';
import { timer } from './lib/timer.mjs';

const child = fileURLToPath(new URL('lib/hub-child.mjs', import.meta.url));
const files = {
  'config.json': '{"model_type":"t5"}',
  'model.safetensors': Buffer.alloc(700_000, 'weights'),
  'tokenizer.json': '{"a":1}'.repeat(1000),
};

/** Seconds of silence after which the child is told to take a connection as cut. */
const silence = 0.4;
const limits = { seconds: 60, megabytes: 500 };

/** Answers for ever, as fast as the other side reads. An answer to HEAD has no body. */
function flood(response, piece) {
  if (response.req.method === 'HEAD') return response.end();
  const more = () => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', more).on('error', () => {});
  more();
}

/**
 * What a server may do to a request. `passes`: another attempt may help. `lies`: what comes is not what the hub has,
 * and no attempt can tell: a refusal is right even where it happens once.
 */
const faults = {
  silent: { passes: true, act: () => {} },
  // The head is all of an answer to HEAD.
  'silent after the head': {
    passes: true,
    act: (request, response) => request.method !== 'HEAD' && response.writeHead(200).flushHeaders(),
  },
  'cut at once': { passes: true, act: (request) => request.socket.destroy() },
  // Other bytes than the file's: the sum tells in the end.
  'cut in the middle': {
    passes: true,
    lies: true,
    act: (request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x'.repeat(100), () => request.socket.destroy());
    },
  },
  500: { passes: true, act: (_, response) => response.writeHead(500).end('<html>') },
  429: { passes: true, act: (_, response) => response.writeHead(429, { 'retry-after': '0' }).end() },
  403: { act: (_, response) => response.writeHead(403).end('\u001b[2Jno') },
  404: { act: (_, response) => response.writeHead(404).end() },
  418: { act: (_, response) => response.writeHead(418).end() },
  'a page of HTML': { lies: true, act: (_, response) => response.writeHead(200).end('<!doctype html>') },
  'an endless list': {
    lies: true,
    act: (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"siblings":[');
      flood(response, '{"rfilename":"config.json"},'.repeat(5000));
    },
  },
  'endless bytes': { lies: true, act: (_, response) => flood(response.writeHead(200), Buffer.alloc(1 << 20)) },
  'more than announced': {
    lies: true,
    act: (_, response) => flood(response.writeHead(200, { 'x-linked-size': '10' }), Buffer.alloc(1 << 16)),
  },
  'an odd size': {
    lies: true,
    act: (_, response) =>
      response.writeHead(200, { etag: '"abc"', 'x-linked-size': 'NaN', 'x-linked-etag': '"abc"' }).end(),
  },
  'an etag that leaves the folder': {
    lies: true,
    act: (_, response) => response.writeHead(200, { etag: '"../../../evil"' }).end('x'),
  },
  'other content': {
    lies: true,
    act: (_, response) => response.writeHead(200, { etag: `"${'0'.repeat(40)}"` }).end('x'),
  },
  'odd names': {
    lies: true,
    act: (_, response) =>
      response
        .writeHead(200)
        .end(JSON.stringify({ sha: '0'.repeat(40), siblings: [null, {}, { rfilename: '../../evil\u001b[2J.json' }] })),
  },
  'null in the list': {
    lies: true,
    act: (_, response) => response.writeHead(200).end('{"sha":null,"siblings":[null]}'),
  },
  'a redirect in a circle': {
    lies: true,
    act: (request, response) => response.writeHead(302, { location: request.url }).end(),
  },
  'a redirect to a file': {
    lies: true,
    act: (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  },
  'a redirect to nowhere': {
    lies: true,
    act: (_, response) => response.writeHead(302, { location: 'http://[' }).end(),
  },
};

/** Requests that are hurt: those whose method and path match. */
const places = {
  'the list': (request) => request.url.startsWith('/api/'),
  'the head of a file': (request) => request.method === 'HEAD',
  'a file': (request) => request.method === 'GET' && !request.url.startsWith('/api/'),
  'a large file': (request) => request.url.startsWith('/lfs/'),
};

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

export async function run({ seed, kind, ...length }) {
  const names = Object.keys(faults).filter((name) => kind === undefined || name === kind);
  const isOver = timer(length);
  const counts = { cases: 0, right: 0, refused: 0, faults: 0 };
  const program = new LimitedProcess(child, limits);
  try {
    for (let number = 0; !isOver(); number++) {
      const draw = random(`hub-${seed}-${number}`);
      const [name, place, times] = [draw.of(names), draw.of(Object.keys(places)), draw.of([1, 2, 1000])];
      const found = await oneCase(program, name, place, times);
      counts.cases++;
      if (found.outcome in counts) counts[found.outcome]++;
      if (found.fault === undefined) continue;
      counts.faults++;
      console.log(`FAULT case ${number}: ${name} at ${place}, ${times} times: ${found.fault}`);
    }
  } finally {
    await program.stop();
  }
  console.log(
    `hub, seed ${seed}: ${counts.cases} cases, ${counts.right} came right, ${counts.refused} refused, ` +
      `${counts.faults} faults`,
  );
  return counts.faults;
}

async function oneCase(program, name, place, times) {
  const hub = await startHubServer({
    'models/owner/name': { revisions: { main: files }, lfs: /safetensors/u, token: 'secret' },
  });
  let hurt = 0;
  hub.fault = (request, response) => {
    if (hurt >= times || !places[place](request)) return false;
    hurt++;
    faults[name].act(request, response);
    return true;
  };
  const folder = mkdtempSync(join(tmpdir(), 'promot-hub-'));
  try {
    const request = { endpoint: hub.endpoint, cacheFolder: join(folder, 'cache'), silence, retryDelay: 0.01 };
    const answer = await program.ask(request);
    const fault = judge(answer, { ...faults[name], hurt, times, leaked: hub.leaked, folder });
    return { outcome: answer.outcome === 'loaded' ? 'right' : answer.outcome, fault };
  } finally {
    await hub.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is wrong with a download's answer; undefined where it is as it must be. `hurt`: requests that were hurt. */
export function judge({ outcome, message, notes }, { passes, lies, hurt, times, leaked, folder }) {
  if (leaked.length > 0) return `the token went to another server: ${leaked[0]}`;
  const outside = readdirSync(folder).filter((one) => one !== 'cache');
  if (outside.length > 0) return `files outside of the cache: ${outside}`;
  if (outcome === 'loaded') {
    const wrong = wrongFile(message);
    if (wrong) return `${wrong} is not what the hub has`;
    return hurt > 0 && passes && notes.length < Math.min(hurt, 2) ? 'a retry was not told' : undefined;
  }
  if (outcome !== 'refused') return `${outcome}: ${message}`;
  if (passes && !lies && times < 5) return `a fault that passes was not outlived: ${message}`;
  if (!lies && !passes && hurt === 0) return `refused without a reason: ${message}`;
  return lineFault(message, ['owner/name', '127.0.0.1']);
}

/** The first file of a snapshot's folder that is not what the hub has. */
function wrongFile(folder) {
  return Object.keys(files).find((name) => {
    const path = join(folder, name);
    return !statSync(path, { throwIfNoEntry: false }) || digest(readFileSync(path)) !== digest(files[name]);
  });
}
