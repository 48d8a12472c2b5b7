import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorsPage, filesPage } from './reference.js';

const page = (name: string) => readFileSync(new URL(`../../../../docs/reference/${name}`, import.meta.url), 'utf8');

test('the pages are up to date (npm run reference)', () => {
  expect(page('files.md')).toBe(filesPage());
  expect(page('errors.md')).toBe(errorsPage());
});
