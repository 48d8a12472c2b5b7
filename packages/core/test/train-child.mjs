// Trains in a process of its own, so that a test can kill it. Argument: the request as JSON; a line for every event.
// What the run asks at checkpoints is answered with where it stands.
import { train } from '../dist/training/index.js';

const { register, ...request } = JSON.parse(process.argv[2]);
if (register) await import(register);
const result = await train({
  ...request,
  onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
  atCheckpoint: async ({ step }) => (request.asks ? { asked: step } : undefined),
});
process.stdout.write(`${JSON.stringify({ type: 'result', ...result })}\n`);
