// What is taken out of captions.
import { expect, test } from 'vitest';
import { extracted, hasExtract } from './extraction.js';

test('the first person, colors and clothes in the order of the sentence, each once', () => {
  expect(extracted('A man in a red T-shirt and a woman in a blue dress, both with red hats and a hat.')).toEqual({
    who: 'man',
    colors: ['red', 'blue'],
    clothes: ['t-shirt', 'dress', 'hat'],
  });
});

test('a sentence needs a person and a color', () => {
  expect(hasExtract('A dog runs on green grass.')).toBe(false);
  expect(hasExtract('A man runs.')).toBe(false);
  expect(hasExtract('A boy on green grass.')).toBe(true);
});
