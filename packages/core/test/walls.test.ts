// The walls of the house: no room imports from a room above it, and no package from one above
// (docs/develop/architecture.md).
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = readFileSync(join(root, 'docs/develop/architecture.md'), 'utf8');

/** The rooms in the page's order: each may import from those before it. */
const rooms = [...page.matchAll(/^\d+\. `([a-z]+)`:/gmu)].map(([, room]) => room!);
/** What each room of promot may import, beside itself. */
const promotRooms: Readonly<Record<string, readonly string[]>> = {
  lab: [],
  serve: [],
  experiments: ['lab'],
  quickstart: ['lab'],
  // The last is index.js: what plugins get.
  cli: ['lab', 'serve', 'experiments', 'quickstart', ''],
};

interface Import {
  readonly from: string;
  readonly to: string;
}

const folderOf = (name: string) => (name === 'scripts' ? name : join('packages', name, 'src'));

/** Paths, relative to src, and texts of a package's sources (not of its tests), or of the scripts. */
function sourcesOf(name: string): [file: string, content: string][] {
  const src = join(root, folderOf(name));
  const files = (readdirSync(src, { recursive: true }) as string[]).filter(
    (file) => /\.(ts|mjs)$/u.test(file) && !file.endsWith('.test.ts') && !file.includes('fixtures'),
  );
  return files.map((file) => [file, readFileSync(join(src, file), 'utf8')]);
}

/**
 * Every import of the sources (not the tests) of a package. Dynamic ones and types count, comments and lines of text
 * do not. Paths are relative to its src.
 */
function importsOf(name: string): Import[] {
  return sourcesOf(name).flatMap(([file, content]) => {
    const text = content.replaceAll(/^ *(\/\/|\*|['"`]).*$/gmu, '');
    const named = [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'([^']+)'/gu)].map(([, to]) => to!);
    return named.map((to) => ({
      from: file,
      to: to.startsWith('.')
        ? normalize(join(dirname(file), to))
            .split(sep)
            .join('/')
        : to,
    }));
  });
}

const roomOf = (path: string) => (path.includes('/') ? path.split('/')[0]! : '');
const show = ({ from, to }: Import) => `${from} imports ${to}`;

test('the page lists the rooms that there are', () => {
  const there = readdirSync(join(root, 'packages/core/src'), { withFileTypes: true });
  const folders = there.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  expect([...rooms].sort()).toEqual(folders.sort());
});

test('the files and folders that the page names are there', () => {
  const named = [...page.matchAll(/`((?:[\w-]+\/)+(?:[\w-]+\.ts)?)`/gu)].map(([, path]) => path!);
  const roots = ['.', 'packages/core', 'packages/core/src', 'packages/torch/src'].map((folder) => join(root, folder));
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter((path) => !roots.some((folder) => existsSync(join(folder, path))))).toEqual([]);
});

describe('no import goes up', () => {
  const inside = (imports: Import[]) => imports.filter(({ to }) => !to.startsWith('@') && !to.startsWith('node:'));

  test('between the rooms of the library', () => {
    const imports = inside(importsOf('core')).filter(({ from, to }) => roomOf(from) !== '' && to.endsWith('.js'));
    expect(imports.length).toBeGreaterThan(200);
    const up = imports.filter(({ from, to }) => rooms.indexOf(roomOf(to)) > rooms.indexOf(roomOf(from)));
    expect(up.map(show)).toEqual([]);
  });

  test('between the rooms of promot', () => {
    const imports = inside(importsOf('promot')).filter(({ from, to }) => roomOf(from) !== '' && to.endsWith('.js'));
    expect(imports.length).toBeGreaterThan(50);
    const wrong = imports.filter(({ from, to }) => ![roomOf(from), ...promotRooms[roomOf(from)]!].includes(roomOf(to)));
    expect(wrong.map(show)).toEqual([]);
  });

  test('between the packages', () => {
    const others = (name: string) => importsOf(name).filter(({ to }) => to.startsWith('@promot/') || to === 'promot');
    expect(others('torch').map(show)).toEqual([]);
    expect(others('core').filter(({ to }) => !to.startsWith('@promot/torch'))).toEqual([]);
    const entries = Object.keys(JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8')).exports);
    const offered = entries.map((entry) => `@promot/core${entry.slice(1)}`);
    const deep = others('promot').filter(({ to }) => to.startsWith('@promot/core') && !offered.includes(to));
    expect(deep.map(show)).toEqual([]);
  });

  test('no file leaves its package by a relative path', () => {
    const out = ['torch', 'core', 'promot'].flatMap((name) => importsOf(name).filter(({ to }) => to.startsWith('..')));
    expect(out.map(show)).toEqual([]);
  });
});

// A script that imports, even later, one that waits for it never ends: Node.js gives up with code 13.
test.each([
  ['torch', 20],
  ['core', 20],
  ['promot', 20],
  ['scripts', 10],
] as const)('no two files of %s import each other, not even for a type', (name, least) => {
  const next = new Map<string, string[]>();
  for (const { from, to } of importsOf(name)) next.set(from, [...(next.get(from) ?? []), to.replace(/\.js$/u, '.ts')]);
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
    if (path.includes(file) || done.has(file)) return;
    for (const to of next.get(file) ?? []) walk(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) walk(file, []);
  expect(next.size).toBeGreaterThan(least);
  expect(circles).toEqual([]);
});

test('no name is declared and exported by two files, of whichever package', () => {
  const declared = new Map<string, string[]>();
  for (const name of ['torch', 'core', 'promot'])
    for (const [file, content] of sourcesOf(name))
      for (const [, found] of content.matchAll(
        /^export (?:async )?(?:const|let|function\*?|class|interface|type) ([\w$]+)/gmu,
      ))
        declared.set(found!, [...(declared.get(found!) ?? []), `${name}/${file}`]);
  expect(declared.size).toBeGreaterThan(1000);
  const twice = [...declared].filter(([, files]) => new Set(files).size > 1);
  expect(twice.map(([name, files]) => `${name}: ${files.join(', ')}`)).toEqual([]);
});

describe('style', () => {
  const folders = ['torch', 'core', 'promot'].flatMap((name) => [`packages/${name}/src`, `packages/${name}/test`]);
  const lines = [...folders, 'scripts'].flatMap((folder) =>
    (readdirSync(join(root, folder), { recursive: true }) as string[])
      .filter((file) => /\.(ts|mjs)$/u.test(file))
      .flatMap((file) =>
        readFileSync(join(root, folder, file), 'utf8')
          .split('\n')
          .map((line, i) => ({ line, at: `${folder}/${file} line ${i + 1}` })),
      ),
  );
  const places = (found: (line: string) => boolean) => lines.filter(({ line }) => found(line)).map(({ at }) => at);

  test('no line has more than 120 characters, but for regular expressions', () => {
    expect(lines.length).toBeGreaterThan(50_000);
    expect(places((line) => line.length > 120 && !/^\s*\/.*\/[a-z]*\W*$/u.test(line))).toEqual([]);
  });

  test('nothing is spread that stands there anyway', () => {
    expect(places((line) => /^\s*\.\.\.(\[.*\]|\{.*\}),?$/u.test(line))).toEqual([]);
  });
});

test('the pure entries never touch libtorch (@promot/torch/files and errors have no tensors)', () => {
  // Follows imports from an entry as they are loaded: types are erased.
  const src = join(root, 'packages/core/src');
  const reaches = (entry: string) => {
    const seen = new Set<string>();
    const waiting = [entry];
    const outside = new Set<string>();
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      const text = readFileSync(join(src, file), 'utf8');
      for (const [, clause, to] of text.matchAll(/^(?:import|export)\s+([^;]*?)\s*from\s+'([^']+)'/gmu)) {
        if (/^type\b/u.test(clause!)) continue;
        if (
          /^\{[^}]*\}$/u.test(clause!) &&
          clause!
            .slice(1, -1)
            .split(',')
            .every((n) => /^\s*(type\s|$)/u.test(n))
        )
          continue;
        if (to!.startsWith('.')) waiting.push(relative(src, join(src, dirname(file), to!)).replace(/\.js$/u, '.ts'));
        else outside.add(to!);
      }
    }
    return outside;
  };
  for (const entry of ['base/errors.ts', 'base/index.ts', 'metrics/index.ts', 'tasks/index.ts', 'report/index.ts'])
    expect(
      [...reaches(entry)].filter((to) => /^@promot\/torch(?!\/(?:files|errors)$)/u.test(to)),
      entry,
    ).toEqual([]);
});
