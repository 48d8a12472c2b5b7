// Writes train.jsonl and validation.jsonl beside itself: conversations at the desk of a small library, always the same
// ones. The system turn says where books stand; the assistant answers in one fixed form, over two or three turns.
// node examples/chat/make.mjs [FOLDER]
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const titles = (
  'Atlas of Rivers,The Green Boat,Cooking for Two,Old Maps,Winter Birds,The Clock Maker,Small Gardens,Night ' +
  'Trains,A Book of Knots,The Salt Road,Early Music,Paper Houses'
).split(',');
const halls = ['north', 'south', 'east', 'west'];
const questions = ['Where is {title}?', 'I am looking for {title}.', 'Do you have {title}?', '{title}, please.'];
const further = ['And {title}?', 'Thanks. {title}, too?', 'What about {title}?'];

/** Mulberry32, Tommy Ettinger, public domain: numbers from 0 to 1 from a seed. */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function conversation(random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const left = [...titles];
  const books = Array.from({ length: 3 }, () => ({
    title: left.splice(Math.floor(random() * left.length), 1)[0],
    hall: pick(halls),
    shelf: 1 + Math.floor(random() * 40),
  }));
  const lent = Math.floor(random() * 6);
  const list = books.map(({ title, hall, shelf }, i) => `${title}: ${i === lent ? 'lent' : `${hall} ${shelf}`}.`);
  const messages = [{ role: 'system', content: `You are the desk of a library. ${list.join(' ')}` }];
  const asked = [...books].sort(() => random() - 0.5).slice(0, 1 + Math.ceil(random() * 2));
  for (const [i, book] of asked.entries()) {
    const { title, hall, shelf } = book;
    messages.push({ role: 'user', content: pick(i === 0 ? questions : further).replace('{title}', title) });
    const answer = books.indexOf(book) === lent ? `${title} is out.` : `${title} >> ${hall} hall, shelf ${shelf}.`;
    messages.push({ role: 'assistant', content: answer });
  }
  return { messages };
}

const folder = process.argv[2] ?? dirname(fileURLToPath(import.meta.url));
mkdirSync(folder, { recursive: true });
for (const [name, count, seed] of [
  ['train', 400, 1],
  ['validation', 60, 2],
]) {
  const random = numbers(seed);
  const lines = Array.from({ length: count }, () => JSON.stringify(conversation(random)));
  writeFileSync(join(folder, `${name}.jsonl`), `${lines.join('\n')}\n`);
}
