// The golden models (golden/make.py): one folder each, every family among them.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const goldenFolder = fileURLToPath(new URL('../golden/models', import.meta.url));

/** Names of all golden models. */
export const goldenModels = readdirSync(goldenFolder).sort();
