// Before any test: the addon is made where it is missing. Tests load it when they make their first tensor.
import { ensureAddon } from '../src/setup/index.js';

export default async function setup(): Promise<void> {
  await ensureAddon();
}
