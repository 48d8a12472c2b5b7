// Which outputs have the target's form: labels, and languages told by their characters, on sentences made here and on
// real data.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadTask } from '../tasks/registry.js';
import { formShare, inTargetForm, Language, targetForm } from './form.js';

describe('labels', () => {
  const form = { labels: ['True', 'False'] };

  test('the first word is one of them, whatever stands around and behind it', () => {
    const outputs = ['True', ' "False", because', 'true', 'Truely', 'It is True', '', 'True. Q: who?'];
    expect(inTargetForm(outputs, form)).toEqual([true, true, false, false, false, false, true]);
    expect(formShare(outputs, form)).toBeCloseTo(300 / 7, 9);
    expect(formShare([], form)).toBe(0);
  });
});

describe('languages', () => {
  const french = [
    'Un homme en chemise bleue se tient sur une échelle.',
    'Deux enfants jouent dans la neige avec leur chien.',
    'Une femme vend des fruits au marché de la ville.',
    'Les ouvriers réparent le toit de la vieille maison.',
  ];
  const english = [
    'A man in a blue shirt is standing on a ladder.',
    'Two children play in the snow with their dog.',
    'A woman sells fruit at the market of the town.',
    'The workers are repairing the roof of the old house.',
  ];
  const german = [
    'Ein Mann in einem blauen Hemd steht auf einer Leiter.',
    'Zwei Kinder spielen mit ihrem Hund im Schnee.',
    'Eine Frau verkauft Obst auf dem Markt der Stadt.',
    'Die Arbeiter reparieren das Dach des alten Hauses.',
  ];
  const language = Language.learn('French', french, [english, german]);

  test('sentences that were not learned from', () => {
    const outputs = [
      'Le garçon regarde les chevaux près de la maison.',
      'THE BOY IS LOOKING AT THE HORSES NEAR THE HOUSE!',
      'Der Junge sieht den Pferden bei dem Haus zu.',
      'une fille dans une chemise rouge',
      'the girl with a red shirt',
    ];
    expect(inTargetForm(outputs, { language })).toEqual([true, false, false, true, false]);
    expect(formShare(outputs, { language })).toBe(40);
  });

  test('case, digits, punctuation and the way that accents are written do not count', () => {
    const decide = (text: string) => inTargetForm([text], { language })[0];
    for (const text of ['Le garçon joue à la balle.', 'The boy plays ball.'])
      expect(decide(`12, ${text.toUpperCase().normalize('NFD')} ... 3!`)).toBe(decide(text));
  });

  test('what says nothing is not in the language', () => {
    expect(inTargetForm(['', '  ', '12:30, 5 %', 'ΔΩ'], { language })).toEqual([false, false, false, false]);
  });

  test('the other kinds keep their own: names learned as answers are not the target’s', () => {
    const names = [['Paris', 'Marie Curie', 'Louis Pasteur', 'Lyon']];
    const alone = Language.learn('French', french, [english]);
    const beside = Language.learn('French', french, [english, ...names]);
    expect([alone.has('Louis Curie'), beside.has('Louis Curie')]).toEqual([true, false]);
    expect(beside.has('Deux femmes jouent dans la maison')).toBe(true);
  });

  test('by hand: one letter, two classes', () => {
    // Own "aa", other "ab". Known n-grams and their kinds: a, b (2); _a, aa, a_, ab, b_ (5); _aa, aa_, _ab, ab_ (4).
    const tiny = Language.learn('a', ['aa'], [['ab']]);
    // "a" has a, _a and a_: (3/4)(2/8)(2/8) of the own class against (2/4)(2/8)(1/8) of the other; its trigram is
    // unknown.
    expect(tiny.has('a')).toBe(true);
    // "b" has b and b_ ("_b" is unknown): (1/4)(1/8) against (2/4)(2/8).
    expect(tiny.has('b')).toBe(false);
  });
});

const data = fileURLToPath(new URL('../../../../../shared/data', import.meta.url));
describe.skipIf(!existsSync(join(data, 'multi30k_en_fr')))('real data (skipped where ../shared/data is absent)', () => {
  test('French captions against German, Czech and English: the errors that Language states', async () => {
    const load = (name: string) => loadTask(name, { data });
    const others = ['multi30k-en-de', 'multi30k-en-cs', 'trivia-qa', 'web-questions', 'xsum', 'rte', 'cb', 'wic'];
    const [target, ...tasks] = await Promise.all(['multi30k-en-fr', ...others].map(load));
    const form = await targetForm(target!, tasks);
    const examples = new Map(
      await Promise.all(
        [target!, ...tasks.slice(0, 5)].map(async (task) => [task.name, await task.load('test')] as const),
      ),
    );
    const count = (texts: readonly string[]) => [inTargetForm(texts, form).filter(Boolean).length, texts.length];
    const targets = (name: string) => examples.get(name)!.map((example) => example.target);
    const english = examples.get('multi30k-en-fr')!.map(({ record }) => record.source as string);
    const found = Object.fromEntries([...examples.keys()].map((name) => [name, count(targets(name))]));
    expect(found).toEqual({
      'multi30k-en-fr': [1000, 1000],
      'multi30k-en-de': [0, 1000],
      'multi30k-en-cs': [0, 1000],
      xsum: [0, 1279],
      'trivia-qa': [69, 900],
      'web-questions': [129, 1800],
    });
    expect(count(english)).toEqual([1, 1000]);
    const begin = (texts: readonly string[]) => texts.map((text) => text.split(' ').slice(0, 3).join(' '));
    expect(count(begin(targets('multi30k-en-fr')))).toEqual([993, 1000]);
    expect(count(begin(english))).toEqual([25, 1000]);
    const news = [
      "L'homme, qui, selon une déclaration de son avocat, a depuis été libéré, a ensuite été transféré dans une " +
        'cellule plus grande.',
      "Si vous avez besoin d'une aide supplémentaire, n'hésitez pas à communiquer avec l'équipe d'Amazon Prime.",
      "Vous pouvez vous inscrire à l'Amazon Prime et vous inscrire à l'Amazon Prime.",
    ];
    expect(formShare(news, form)).toBe(100);
    expect(formShare(['Danach wurde der Mann in eine größere Zelle verlegt.', 'Milwaukee, Wisconsin'], form)).toBe(0);
  });
});
