import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { LANGUAGES } from './languages.js';
import { pretrainExample } from './pretraining.js';
import type { LabExample, LabSplit } from './splits.js';
import { LAB_TASKS, type LabTask } from './tasks.js';
import * as words from './words.js';

const TASKS: [string, LabTask][] = Object.entries(LAB_TASKS);

function examples(name: keyof typeof LAB_TASKS, split: LabSplit, count: number): LabExample[] {
  return Array.from({ length: count }, (_, i) => LAB_TASKS[name].example(split, i));
}

/** The sentences of a text, as sets of facts: a statement reduced to its person and value. */
function sentences(text: string): string[] {
  return text.split(/(?<=\.) /).map((sentence) => sentence.replace(/\.$/, ''));
}

const RELATION_WORDS: readonly [RegExp, string][] = [
  [/^(\S+) lives in (\S+)$|^The home of (\S+) is (\S+)$/, 'home'],
  [/^(\S+) is a (\S+)$|^(\S+) works as a (\S+)$/, 'craft'],
  [/^(\S+) keeps a (\S+)$|^The animal of (\S+) is a (\S+)$/, 'animal'],
  [/^(\S+) eats (\S+)$|^The food of (\S+) is (\S+)$/, 'food'],
  [/^(\S+) wears (\S+)$|^The coat of (\S+) is (\S+)$/, 'colour'],
  [/^(\S+) says (\S+)$|^The word of (\S+) is (\S+)$/, 'saying'],
];

/** Reads a statement back, without the generator: (person, relation) and the value. */
function parse(sentence: string): { about: string; value: string } {
  for (const [pattern, relation] of RELATION_WORDS) {
    const match = pattern.exec(sentence);
    if (match !== null) return { about: `${match[1] ?? match[3]} ${relation}`, value: (match[2] ?? match[4])! };
  }
  throw new Error(`not a statement: ${sentence}`);
}

/** The share of the most frequent label among examples that look the same, averaged: what that look gives away. */
function accuracyFrom(
  feature: (input: string) => string,
  given: readonly LabExample[],
  held: readonly LabExample[],
): number {
  const counts = new Map<string, Map<string, number>>();
  for (const { input, target } of given) {
    const labels = counts.get(feature(input)) ?? new Map<string, number>();
    counts.set(feature(input), labels.set(target, (labels.get(target) ?? 0) + 1));
  }
  const guess = (input: string): string | undefined =>
    [...(counts.get(feature(input)) ?? [])].sort((a, b) => b[1] - a[1])[0]?.[0];
  return held.filter(({ input, target }) => guess(input) === target).length / held.length;
}

describe('every lab task', () => {
  test.each(TASKS)('%s is a pure function of split and index', (_, task) => {
    const draw = () => [0, 7, 255].map((i) => task.example('validation', i));
    expect(draw()).toEqual(draw());
    expect(new Set(draw().map(({ input }) => input)).size).toBe(3);
  });

  test.each(TASKS)('%s has splits that share no input', (_, task) => {
    const owner = new Map<string, string>();
    const sizes = { pretrain: task.role === 'pretrained' ? 1500 : 0, ...task.sizes };
    for (const [split, size] of Object.entries(sizes)) {
      for (let i = 0; i < Math.min(size, 1500); i++) {
        const { input } = task.example(split as LabSplit, i);
        expect(owner.get(input) ?? split, input).toBe(split);
        owner.set(input, split);
      }
    }
    const held = ['validation', 'test'].reduce((sum, split) => sum + task.sizes[split as 'test'], 0);
    const distinct = [...owner.values()].filter((split) => split === 'validation' || split === 'test').length;
    // Held-out examples hardly repeat among themselves; most of all those of lab-rte, which are of one fact.
    expect(distinct).toBeGreaterThan(0.97 * held);
  });

  test.each(TASKS)('%s refuses an index outside of a split', (_, task) => {
    expect(() => task.example('test', task.sizes.test)).toThrow(RangeError);
    expect(() => task.example('test', -1)).toThrow(RangeError);
    if (task.role !== 'pretrained') expect(() => task.example('pretrain', 0)).toThrow(RangeError);
  });

  test.each(TASKS.filter(([, task]) => task.labels))('%s has balanced labels of its closed set', (_, task) => {
    const count = 480;
    const targets = Array.from({ length: count }, (_, i) => task.example('test', i).target);
    for (const label of task.labels!) {
      expect(targets.filter((target) => target === label).length).toBe(count / task.labels!.length);
    }
  });

  test('no meaning of a held-out sentence is pretrained in another direction', () => {
    // Words are one to one, so the bag of concepts stands for the meaning (up to subject and object).
    const bag = (language: keyof typeof LANGUAGES, sentence: string): string => {
      const all: readonly string[] = LANGUAGES[language].words;
      return sentence
        .replace('.', '')
        .split(' ')
        .map((word) => all.indexOf(word))
        .join(' ');
    };
    const order = (text: string): string => text.slice(text.indexOf(': ') + 2);
    const pretrained = new Set(examples('lab-translation', 'pretrain', 5000).map((e) => bag('en', order(e.input))));
    for (const { input } of examples('lab-enfr', 'test', 500))
      expect(pretrained.has(bag('en', order(input)))).toBe(false);
  });
});

describe('answers follow from the input', () => {
  test('reading: the answer is in the one fact that the question asks about', () => {
    for (const split of ['pretrain', 'test'] as const) {
      for (const { input, target } of examples('lab-reading', split, 500)) {
        const [, text, question] = /^(.*) (?:Q:|question:) (.*)\? (?:A:|answer:)$/.exec(input)!;
        const facts = sentences(text!).map(parse);
        expect(facts.length === 3 || facts.length === 4).toBe(true);
        const asked = facts.filter((fact) =>
          question!.startsWith('Who')
            ? question!.split(' ').at(-1) === fact.value
            : fact.value === target && question!.includes(fact.about.split(' ')[0]!),
        );
        expect(asked.length, input).toBe(1);
        expect(question!.startsWith('Who') ? asked[0]!.about.split(' ')[0] : asked[0]!.value).toBe(target);
      }
    }
  });

  test('only pretraining writes reading questions with the marks of the entailment templates', () => {
    const share = (split: LabSplit) =>
      examples('lab-reading', split, 500).filter(({ input }) => input.endsWith('answer:')).length / 500;
    expect(share('test')).toBe(0);
    expect(Math.abs(share('pretrain') - 0.25)).toBeLessThan(0.07);
  });

  test('closed book: every fact is pretrained in some wording, and has one answer in all', () => {
    const answer = new Map<string, string>();
    const key = (input: string, target: string): string => {
      const land = words.LANDS.find((name) => input.includes(name))!;
      const kind = [words.TOWNS, words.NAMES, words.COLOURS, words.FOODS, words.ANIMALS].findIndex((v) =>
        v.includes(target),
      );
      return `${land} ${kind}`;
    };
    for (const { input, target } of examples('lab-closed-book', 'pretrain', 20_000))
      answer.set(key(input, target), target);
    expect(answer.size).toBe(200);
    for (const { input, target } of examples('lab-closed-book', 'test', 500))
      expect(answer.get(key(input, target))).toBe(target);
  });

  test('translation: word by word through the lexicons, in the order of the target language', () => {
    for (const { input, target } of examples('lab-translation', 'test', 300)) {
      const source = input
        .slice(input.indexOf(': ') + 2)
        .replace('.', '')
        .split(' ');
      const en: readonly string[] = LANGUAGES.en.words;
      const de: readonly string[] = LANGUAGES.de.words;
      const translated = source.map((word) => de[en.indexOf(word)]!);
      const said = target.replace('.', '').split(' ');
      expect([...said].sort()).toEqual([...translated].sort());
      expect(said).not.toEqual(translated);
    }
  });

  test('summary: the sentence after the opener that matters', () => {
    for (const { input, target } of examples('lab-summary', 'test', 500)) {
      const key = /(?:Above all|Most importantly|In short), ([^.]*\.)/.exec(input);
      expect(key?.[1]).toBe(target);
    }
  });

  test('entailment: the label is what the premise says', () => {
    for (const name of ['lab-rte', 'lab-snli', 'lab-cb'] as const) {
      for (const { input, target } of examples(name, 'test', 500)) {
        const [, premise, hypothesis] = /^(.*) question: (.*)\. Is it true or false(?: or neither)?\? answer:$/.exec(
          input,
        )!;
        const facts = new Map(
          sentences(premise!)
            .map(parse)
            .map(({ about, value }) => [about, value]),
        );
        const { about, value } = parse(hypothesis!);
        const said = facts.get(about);
        expect(said === undefined ? 'Neither' : said === value ? 'True' : 'False', input).toBe(target);
        // Every hypothesis is about a person of the premise.
        expect([...facts.keys()].some((key) => key.startsWith(`${about.split(' ')[0]} `))).toBe(true);
      }
    }
  });

  test('word in context: the verbs tell the senses', () => {
    for (const { input, target } of examples('lab-wic', 'test', 500)) {
      const verbs = input
        .split(' question: ')[0]!
        .split(' ')
        .filter((w) => [...words.ANIMAL_VERBS, ...words.THING_VERBS].includes(w));
      expect(verbs).toHaveLength(2);
      const [a, b] = verbs.map((verb) => words.ANIMAL_VERBS.includes(verb));
      expect(a === b ? 'True' : 'False').toBe(target);
    }
  });

  test('multiple choice: the option of the letter is the answer of the closed-book question', () => {
    const book = new Map<string, string>();
    for (const split of ['train', 'test', 'validation', 'pretrain'] as const) {
      const size = split === 'pretrain' ? 20_000 : LAB_TASKS['lab-closed-book'].sizes[split];
      for (const { input, target } of examples('lab-closed-book', split, size)) book.set(input, target);
    }
    let found = 0;
    for (const { input, target } of examples('lab-openbookqa', 'test', 500)) {
      const options = /^(Q: .*\?) A\) (\S+) B\) (\S+) C\) (\S+) D\) (\S+) A:$/.exec(input)!;
      expect(new Set(options.slice(2)).size).toBe(4);
      const answer = book.get(`${options[1]} A:`);
      if (answer === undefined) continue;
      found++;
      expect(options[2 + 'ABCD'.indexOf(target)]).toBe(answer);
    }
    expect(found).toBeGreaterThan(400);
  });
});

describe('labels cannot be told from the surface', () => {
  const hypothesis = (input: string): string => input.split('question: ')[1]!;

  test('entailment: neither the form, the value nor the relation of the hypothesis alone beats chance by much', () => {
    for (const [name, chance] of [
      ['lab-rte', 1 / 2],
      ['lab-snli', 1 / 3],
    ] as const) {
      const [given, held] = [examples(name, 'train', 6000), examples(name, 'test', 500)];
      const value = (input: string): string => parse(hypothesis(input).split('. Is')[0]!).value;
      const form = (input: string): string => hypothesis(input).split(' ').slice(0, 2).join(' ');
      const size = (input: string): string => String(sentences(input).length);
      for (const feature of [value, form, size]) {
        expect(accuracyFrom(feature, given, held), name).toBeLessThan(chance + 0.08);
      }
    }
  });

  test('RTE: comparing the value with the premise decides; three-way labels take more', () => {
    const overlap = (input: string): string => {
      const [premise, rest] = input.split(' question: ') as [string, string];
      const { value } = parse(rest.split('. Is')[0]!);
      return String(premise.replaceAll('.', '').split(' ').includes(value));
    };
    const accuracy = (name: 'lab-rte' | 'lab-snli') =>
      accuracyFrom(overlap, examples(name, 'train', 2000), examples(name, 'test', 500));
    expect(accuracy('lab-rte')).toBe(1);
    expect(accuracy('lab-snli')).toBeLessThan(0.7);
  });

  test('word in context: one sentence, or the word, alone says nothing', () => {
    const [given, held] = [examples('lab-wic', 'train', 2000), examples('lab-wic', 'test', 500)];
    const verb = (input: string): string => input.split(' ')[1]!;
    const word = (input: string): string => /The word (\S+) is/.exec(input)![1]!;
    for (const feature of [verb, word]) expect(accuracyFrom(feature, given, held)).toBeLessThan(0.58);
  });
});

test('no English word, name or word of a language is another one too', () => {
  const everything = [
    ...Object.values(words).filter(Array.isArray).flat(),
    ...Object.values(LANGUAGES).flatMap((language) => language.words),
  ] as string[];
  expect(everything.filter((word, i) => everything.indexOf(word) !== i)).toEqual([]);
});

test('the first examples of every task are the pinned ones: recorded scores and shipped weights depend on them', () => {
  const first = TASKS.flatMap(([, task]) => [0, 1, 2].map((i) => task.example('test', i)));
  const pretraining = [0, 1, 2, 3].map((i) => pretrainExample(0, i, 1));
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([first, pretraining]))
    .digest('hex');
  expect(fingerprint).toBe('816e438d3bd3fb347e31809ccc90b45f1c24d110cbf2f3f038bc4ec43792b9bc');
});
