// `npm run reference`: writes the pages of docs/reference that are made of the code. A test says when they are out of
// date.
import { writeFileSync } from 'node:fs';
import { setup } from './setup.mjs';

await setup();
const { errorsPage, filesPage } = await import('../packages/core/dist/inner.js');
const page = (name) => new URL(`../docs/reference/${name}`, import.meta.url);
writeFileSync(page('files.md'), filesPage());
writeFileSync(page('errors.md'), errorsPage());
