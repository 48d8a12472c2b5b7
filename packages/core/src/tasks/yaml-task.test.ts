import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { loadTask } from './registry.js';

const yaml = `name: my-task
files: { train: train.jsonl, validation: validation.jsonl }   # relative to this file
input: "{premise} question: {hypothesis} Is it true or false? answer:"
target: "{label}"
labels: ["True", "False"]
metric: accuracy
`;
const row = '{"premise":"P.","hypothesis":"H.","label":"True"}\n';

const temporary = mkdtempSync(join(tmpdir(), 'promot-yaml-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

function taskFile(content: string, validation = row): string {
  const folder = mkdtempSync(join(temporary, 'task-'));
  writeFileSync(join(folder, 'train.jsonl'), row + row);
  writeFileSync(join(folder, 'validation.jsonl'), validation);
  writeFileSync(join(folder, 'task.yaml'), content);
  return join(folder, 'task.yaml');
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

test('the example of the documentation', async () => {
  const task = await loadTask(taskFile(yaml));
  expect(task).toMatchObject({
    name: 'my-task',
    metrics: [{ name: 'accuracy', settings: {} }],
    labels: ['True', 'False'],
    evaluationSplit: 'validation',
  });
  const [example] = await task.load('train');
  expect(example).toMatchObject({
    input: 'P. question: H. Is it true or false? answer:',
    target: 'True',
    references: ['True'],
  });
  expect(await task.load('train')).toHaveLength(2);
  expect((await loadTask(taskFile(yaml))).version).toBe(task.version);
  expect((await loadTask(taskFile(yaml.replace('P', 'p').replace('question:', 'q:')))).version).not.toBe(task.version);
});

test('a list of answers, plain braces, numbers, a sole validation file', async () => {
  const path = taskFile(
    'name: qa\nfiles: {validation: validation.jsonl}\ninput: "{{Q}} {n}: {question}"\ntarget: ' +
      '"{answers}"\nmetric: exact-match\n',
    '{"question":"Who?","n":3,"answers":[" a","b"]}\n',
  );
  const [example] = await (await loadTask(path)).load('validation');
  expect(example).toMatchObject({ input: '{Q} 3: Who?', target: 'a', references: [' a', 'b'] });
});

describe('bad task files are refused, with file and line', () => {
  test.each<[string, string, RegExp]>([
    [
      'unknown key',
      yaml.replace('metric:', 'metrics:'),
      /task\.yaml line 6: unknown key "metrics" \(did you mean "metric"\?\)/,
    ],
    [
      'unknown split',
      yaml.replace('validation:', 'valid:'),
      /line 2: unknown key "valid" \(did you mean "validation"\?\)/,
    ],
    ['nothing like a known key', `${yaml}zzzzzz: 1\n`, /line 7: unknown key "zzzzzz"; known keys are name, files/],
    ['missing key', yaml.replace(/^target.*\n/m, ''), /task\.yaml: "target" is missing/],
    [
      'unknown metric',
      yaml.replace('accuracy', 'accurcy'),
      /line 6: unknown metric "accurcy".*: the metrics are accuracy, /,
    ],
    ['unquoted True', yaml.replace('"True"', 'True'), /line 5: "labels.0" is missing or no string \(put numbers, True/],
    ['labels that are the same', yaml.replace('"False"', '"True "'), /line 5: labels "True" and "True " are the same/],
    [
      'a setting that the metric lacks',
      yaml.replace('metric: accuracy', 'metric: { name: bleu, tokenise: zh }'),
      /line 6: bleu has no setting "tokenise" \(did you mean "tokenize"\?\)/,
    ],
    [
      'a wrong value in a list',
      yaml.replace('metric: accuracy', 'metric:\n  - accuracy\n  - { name: bleu, tokenize: flores200 }'),
      /line 8: bleu: tokenize: "flores200" is not offered/,
    ],
    ['no metric', yaml.replace('accuracy', '[]'), /line 6: "metric" should name a metric/],
    ['a metric that is a number', yaml.replace('accuracy', '3'), /line 6: "metric" should be a metric, \{ name/],
    ['a metric twice', yaml.replace('accuracy', '[accuracy, accuracy]'), /metric accuracy is named twice/],
    [
      'a metric that needs labels',
      yaml.replace(/^labels.*\n/m, '').replace('accuracy', 'label-likelihood'),
      /line 5: metric label-likelihood needs a task with labels/,
    ],
    ['an empty stop string', `${yaml}stop: [""]\n`, /line 7: "stop.0" should not be empty/],
    ['no room for an answer', `${yaml}maxNewTokens: 0\n`, /line 7: "maxNewTokens"/],
    ['no files', yaml.replace(/\{ train.*\}/, '{}'), /line 2: "files" should name at least one of/],
    ['missing data file', yaml.replace('train.jsonl', 'other.jsonl'), /line 2: no such data file: .*other\.jsonl/],
    ['another kind of data file', yaml.replace('train.jsonl', 'task.yaml'), /line 2: task\.yaml: data files end in/],
    ['unmatched brace', yaml.replace('{premise}', '{premise'), /line 3: unmatched brace/],
    ['empty braces', yaml.replace('{premise}', '{}'), /line 3: a \{\} without a field name/],
    ['double braces', yaml.replace('"{label}"', '"{{label}}"'), /line 4: .* names no field/],
    ['name that is a path', yaml.replace('my-task', '../my-task'), /line 1: "name" should be letters/],
    ['broken YAML', yaml.replace('["True"', '["True'), /task\.yaml line \d+: /],
    ['an alias without an anchor', yaml.replace('my-task', '*nope'), /task\.yaml: Unresolved alias.*nope/],
    ['a list', '- a\n', /task\.yaml: a task file holds the keys/],
    ['an empty file', '', /task\.yaml: a task file holds the keys/],
  ])('%s', async (_name, content, message) => {
    expect(await messageOf(loadTask(taskFile(content)))).toMatch(message);
  });
});

describe('bad records are refused, with file and line', () => {
  test.each([
    [
      'missing field',
      '{"premise":"P.","label":"True"}',
      /validation\.jsonl line 2: no field "hypothesis", which the template names/,
    ],
    ['label outside the set', row.replace('True', 'Maybe').trim(), /line 2: label "Maybe" is not one of True, False/],
    ['null', '{"premise":null,"hypothesis":"H.","label":"True"}', /line 2: field "premise" should be text/],
    ['empty target', row.replace('True', '').trim(), /line 2: the target is empty/],
    ['malformed', '{"premise"', /line 2: malformed JSON/],
  ])('%s', async (_name, line, message) => {
    const task = await loadTask(taskFile(yaml, `${row}${line}\n`));
    expect(await messageOf(task.load('validation'))).toMatch(message);
  });
});

describe('data as people have it', () => {
  const sure = 'input: "{text}"\ntarget: "{label}"\nmetric: exact-match\n';
  function folderWith(files: Readonly<Record<string, string>>, content: string): string {
    const folder = mkdtempSync(join(temporary, 'data-'));
    for (const [name, text] of Object.entries({ ...files, 'task.yaml': content }))
      writeFileSync(join(folder, name), text);
    return join(folder, 'task.yaml');
  }

  test('lists and patterns of files of several kinds', async () => {
    const path = folderWith(
      { 'a-1.csv': 'text,label\nx,1\n', 'a-2.csv': 'text,label\ny,2\n', 'b.jsonl': '{"text":"z","label":3}\n' },
      `name: t\nfiles: { train: [a-*.csv, b.jsonl] }\nvalidationShare: 0.34\n${sure}`,
    );
    const task = await loadTask(path);
    const both = [...(await task.load('train')), ...(await task.load('validation'))];
    expect(both.map(({ input, target }) => input + target).sort()).toEqual(['x1', 'y2', 'z3']);
    expect(task.evaluationSplit).toBe('validation');
  });

  test('fields inside of fields', async () => {
    const row = '{"a":{"text":["one","two"],"n":[[1.0]]},"a.b":"dotted","label":"l"}\n';
    const load = async (input: string, target = '{label}') => {
      const templates = `input: "${input}"\ntarget: "${target}"\n`;
      const content = `name: t\nfiles: { validation: v.jsonl }\n${templates}metric: exact-match\n`;
      return (await (await loadTask(folderWith({ 'v.jsonl': row }, content))).load('validation'))[0]!;
    };
    expect((await load('{a.text[1]} {a.n[0][0]} {a.b}')).input).toBe('two 1.0 dotted');
    expect(await load('{label}', '{a.text}')).toMatchObject({ target: 'one', references: ['one', 'two'] });
    expect(await messageOf(load('{a.text[2]}'))).toMatch(/line 1: no field "a\.text\[2\]", which the template names/);
    expect(await messageOf(load('{a.text[}'))).toMatch(/line 3: \{a\.text\[\} is no field/);
    expect(await messageOf(load('{a}'))).toMatch(/line 1: field "a" should be text/);
  });

  test('numbers as the file writes them, or refused', async () => {
    const load = async (line: string) => {
      const templates = 'input: "{n} {f}"\ntarget: "{label}"\n';
      const content = `name: t\nfiles: { validation: v.jsonl }\n${templates}metric: exact-match\n`;
      return (await (await loadTask(folderWith({ 'v.jsonl': line }, content))).load('validation'))[0]!;
    };
    const example = await load('{"n":9007199254740993,"f":1.0,"label":1234567890123456789}');
    expect(example).toMatchObject({ input: '9007199254740993 1.0', target: '1234567890123456789' });
    expect(await messageOf(load('{"n":1e999,"f":1,"label":"a"}'))).toMatch(/v\.jsonl line 1: field "n" holds 1e999/);
  });

  test('names of class numbers', async () => {
    const csv = { 'v.csv': 'text,label\nx,1\ny,0\nz,good\n' };
    const named = (extra: string) =>
      `name: t\nfiles: { validation: v.csv }\n${extra}\ninput: "{text}"\ntarget: "{label}"\nmetric: exact-match\n`;
    const task = await loadTask(folderWith(csv, named('labelNames: [bad, good]')));
    expect((await task.load('validation')).map(({ target }) => target)).toEqual(['good', 'bad', 'good']);
    const short = await loadTask(folderWith(csv, named('labelNames: [bad]')));
    expect(await messageOf(short.load('validation'))).toMatch(/line 2: field "label" is class 1, which has no name/);
    // The hub's way to say that a row has no label.
    const heard: string[] = [];
    const some = folderWith({ 'v.csv': 'text,label\nx,1\ny,-1\nz,0\n' }, named('labelNames: [bad, good]'));
    const task2 = await loadTask(some, { onWarning: (message) => heard.push(message) });
    expect((await task2.load('validation')).map(({ input }) => input)).toEqual(['x', 'z']);
    const without = 'of validation are left out: "label" is the class -1, which stands for no label';
    expect(heard).toEqual([`task t: 1 of 3 records ${without}`]);
    const none = await loadTask(folderWith({ 'v.csv': 'text,label\ny,-1\n' }, named('labelNames: [bad, good]')));
    expect(await messageOf(none.load('validation'))).toBe(`task t: 1 of 1 records ${without}`);
    const two = named('labelNames: [bad]').replace('"{label}"', '"{label} {text}"');
    expect(await messageOf(loadTask(folderWith(csv, two)))).toMatch(/line 3: "labelNames" says what the numbers/);
  });

  test('choices: a list of templates or a field, named by text, number or name', async () => {
    const row =
      '{"q":"Sky?","c":{"text":["red","blue"],"label":["A","B"]},"x":"red","y":"blue","a":"B","n":1,"t":"blue"}\n';
    const load = async (choices: string, target: string, extra = '') => {
      const content =
        `name: t\nfiles: { validation: v.jsonl }\ninput: "Q: {q}"\ntarget: "${target}"\n${choices}\nmetric: ` +
        `[acc_norm, acc]\n${extra}`;
      return (await (await loadTask(folderWith({ 'v.jsonl': row }, content))).load('validation'))[0]!;
    };
    const expected = {
      input: 'Q: Sky?',
      target: 'blue',
      references: ['blue'],
      choices: {
        right: 1,
        choices: ['red', 'blue'].map((text) => ({ context: 'Q: Sky?', continuation: ` ${text}`, text })),
      },
    };
    const list = 'choices: ["{x}", "{y}"]';
    expect(await load(list, '{t}')).toMatchObject(expected);
    expect(await load(list, '{n}')).toMatchObject(expected);
    expect(await load('choices: "{c.text}"\nchoiceNames: "{c.label}"', '{a}')).toMatchObject(expected);
    expect(await load(`${list}\nchoiceNames: [A, B]`, '{a}')).toMatchObject(expected);
    expect(await messageOf(load(list, '{a}'))).toMatch(/line 1: the answer "B" is none of the choices red, blue/);
    expect(await messageOf(load(list, '7'))).toMatch(/line 1: the answer is choice 7 of 2, counted from 0/);
    expect(await messageOf(load('choices: "{q}"', '{t}'))).toMatch(/line 1: field "q" should hold a list of choices/);
    expect(await messageOf(load('choices: "{q} {x}"', '{t}'))).toMatch(/task\.yaml line 5: .* should be one \{field\}/);
    expect(await messageOf(load('choiceNames: [A, B]', '{t}'))).toMatch(/"choiceNames" is for a task with "choices"/);
    expect(await messageOf(load(list, '{t}', 'stop: ["x"]\n'))).toMatch(
      /line 7: "stop" is not for a task with choices/,
    );
    expect(await messageOf(load('', '{t}'))).toMatch(/metric acc_norm needs a task with choices/);
  });

  test('what does not fit together is refused', async () => {
    const csv = { 't.csv': 'text,label\nx,1\ny,2\n' };
    const load = (head: string) => messageOf(loadTask(folderWith(csv, `name: t\n${head}\n${sure}`)));
    expect(await load('# no data')).toMatch(/a task has its data either in "files" or on the "hub"/);
    expect(await load('files: { train: t.csv }\nhub: { name: a/b }')).toMatch(/line 2: a task has its data either/);
    expect(await load('hub: { name: "no name" }')).toMatch(/line 2: "hub\.name" should be OWNER\/NAME/);
    expect(await load('hub: { name: a/b, spilts: {} }')).toMatch(/unknown key "spilts" \(did you mean "splits"\?\)/);
    expect(await load('files: { train: t.csv, validation: t.csv }\nvalidationShare: 0.1')).toMatch(
      /there is one already/,
    );
    expect(await load('files: { train: t.csv }\nvalidationShare: 1.5')).toMatch(/line 3: "validationShare"/);
    expect(await load('files: { train: no-*.csv }')).toMatch(/line 2: no file is named like/);
    expect(await load('files: { train: 3 }')).toMatch(/line 2: "files\.train" should be a file or a list of files/);
  });
});
