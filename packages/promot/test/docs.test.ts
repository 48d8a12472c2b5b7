// README and docs: their links lead somewhere; their TypeScript examples compile under the strictest settings, and run.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const pages = [
  'README.md',
  ...(readdirSync(join(root, 'docs'), { recursive: true }) as string[])
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file)),
];

/** Code between ```ts fences. What is thrown on purpose says so: `// Error: ...` at the end of its last line. */
const examples = pages.flatMap((page) =>
  [...readFileSync(join(root, page), 'utf8').matchAll(/^ *```ts\n([\s\S]*?)^ *```/gmu)].map(([, code], i) => ({
    name: `${page} ${i + 1}`,
    file: `${page.replaceAll(/[^a-z]+/giu, '-')}-${i + 1}`,
    code: code!,
    throws: code!.match(/\/\/ Error: (.*)\n$/u)?.[1],
  })),
);

/** Inside the package, so that `promot` and `@promot/torch` are found as a user's program finds them. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(root, 'packages/promot/.docs-'));
  mkdirSync(join(folder, 'src'));
  const begin = (code: string) => (/^(import|export)\b/mu.test(code) ? code : `${code}\nexport {};\n`);
  for (const { file, code } of examples) writeFileSync(join(folder, 'src', `${file}.ts`), begin(code));
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../../tsconfig.base.json',
      compilerOptions: {
        composite: false,
        declaration: false,
        exactOptionalPropertyTypes: true,
        noUnusedLocals: false,
        rootDir: 'src',
        outDir: 'out',
      },
      include: ['src'],
    }),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('there are examples, and they compile', { timeout: 60_000 }, () => {
  expect(examples.length).toBeGreaterThan(5);
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, '']);
});

describe('each runs in an empty folder', () => {
  let ends: Record<string, string>;
  beforeAll(() => {
    const program = fileURLToPath(new URL('fixtures/run-examples.mjs', import.meta.url));
    const args = [program, folder, ...examples.map(({ file }) => file)];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    ends = JSON.parse(readFileSync(join(folder, 'ends.json'), 'utf8'));
  }, 300_000);

  test.each(examples)('$name', ({ file, throws }) => {
    if (throws === undefined) expect(ends[file]).toBe('well');
    else expect(ends[file]).toContain(throws);
  });
});

describe('links of the pages lead somewhere', () => {
  /** As GitHub makes them of headings. */
  const anchors = (text: string) =>
    [...text.matchAll(/^#+ (.*)$/gmu)].map(([, heading]) =>
      heading!
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/gu, '$1')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(/\s/gu, '-'),
    );
  test.each([...pages, 'CONTRIBUTING.md', 'packages/core/golden/README.md'])('%s', (page) => {
    const text = readFileSync(join(root, page), 'utf8').replaceAll(/^ {4}.*$|^```[\s\S]*?^```/gmu, '');
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/gu)].map(([, link]) => link!);
    const broken = links.filter((link) => {
      if (/^[a-z]+:/u.test(link)) return false;
      const [path, anchor] = link.split('#') as [string, string | undefined];
      const target = path === '' ? join(root, page) : join(root, dirname(page), path);
      if (!existsSync(target)) return true;
      return anchor !== undefined && target.endsWith('.md') && !anchors(readFileSync(target, 'utf8')).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});
