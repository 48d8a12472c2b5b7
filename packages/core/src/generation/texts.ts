// Generation and scoring of texts: exactly as given, tokenized apart, never cut; outputs untrimmed.
import type { LoadedModel } from '../models/load.js';
import { tokenizeInput, tokenizeTarget } from '../models/tokenize.js';
import { type GenerateOptions, generate } from './generate.js';
import { type Scored, type ScoreOptions, score } from './score.js';

/**
 * The model's continuation of every input text, in their order, without special tokens and sentinels. An empty input is
 * legal. Errors: those of `generate`.
 *
 * @example const [text] = await generateTexts(loaded, ['translate English to German: Good morning'], { beams: 4 });
 */
export async function generateTexts(
  { model, tokenizer }: LoadedModel,
  inputs: readonly string[],
  options: GenerateOptions = {},
): Promise<string[]> {
  const ids = inputs.map((text) => tokenizeInput(text, tokenizer, model.kind));
  const generated = await generate(model, ids, options);
  return generated.map((one) => one.text ?? tokenizer.decode(one.ids));
}

/**
 * How likely the model finds a target behind an input. Both are taken as given (a decoder-only target keeps or lacks
 * its leading space); the end of sequence is scored, too.
 *
 * @example const { loss, tokens, logprobs } = await scoreText(loaded, '2 + 2 =', ' 4');
 */
export async function scoreText(
  { model, tokenizer }: LoadedModel,
  input: string,
  target: string,
  options: ScoreOptions = {},
): Promise<Scored> {
  const example = {
    input: tokenizeInput(input, tokenizer, model.kind),
    target: tokenizeTarget(target, tokenizer),
  };
  return (await score(model, [example], options))[0]!;
}
