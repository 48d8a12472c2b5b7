// Trains in a process of its own, so that a test can kill it. Argument: the request as JSON; a line for every event.
import { train } from '../dist/training/train.js';

const request = JSON.parse(process.argv[2]);
const result = await train({ ...request, onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`) });
process.stdout.write(`${JSON.stringify({ type: 'result', ...result })}\n`);
