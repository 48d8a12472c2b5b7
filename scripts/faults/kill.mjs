// Kills training runs at random moments, over all methods: each must come to the bytes of a run that nobody hurt.
import { killRuns } from './lib/runs.mjs';

export function run(options) {
  return killRuns({ title: 'kill', ...options });
}
