// The assistant's next turn of a conversation.
import { UserError } from '../base/errors.js';
import { chatTemplate, turnEnds } from '../models/chat.js';
import type { LoadedModel } from '../models/load.js';
import type { Turn } from '../tokenizer/chat-template.js';
import { type GenerateOptions, generate } from './generate.js';

/** What `generate` takes where nothing is said. */
const usualNewTokens = 128;

export interface ChatOptions extends Omit<GenerateOptions, 'onToken' | 'onResult' | 'choices'> {
  /** JSON schemas of functions that the assistant may call, for templates that name them. */
  tools?: readonly unknown[] | undefined;
  /** In place of the model's own chat template. */
  template?: string;
  /** The most tokens that the conversation may have. */
  longestInput?: number;
  /** Hears of the answer as it grows, part by part; for one beam alone. */
  onText?: (part: string) => void;
}

/**
 * What the assistant says next, without special tokens; by greedy search where nothing else is said. The soft prompt, if
 * any, stands in front of the whole conversation. Errors: a UserError for a model without a chat template and for turns
 * that the template refuses, and a conversation for which the model has no room; those of `generate`.
 *
 * @example const answer = await generateTurn(loaded, [{ role: 'user', content: 'Good morning!' }], { maxNewTokens: 64 });
 */
export async function generateTurn(
  loaded: LoadedModel,
  messages: readonly Turn[],
  { tools, template: own, longestInput = Number.POSITIVE_INFINITY, onText, ...options }: ChatOptions = {},
): Promise<string> {
  const { model, tokenizer } = loaded;
  const template = chatTemplate(loaded, own, 'the conversation');
  const text = template.render(messages, { tools, generationPrompt: true });
  const input = tokenizer.encode(text, { specialTokens: false });
  const { positions = Number.POSITIVE_INFINITY } = model.shape;
  const room = Math.min(
    longestInput,
    positions - (options.prompt?.size(0) ?? 0) - (options.maxNewTokens ?? usualNewTokens),
  );
  if (input.length > room)
    throw new UserError(`the conversation has ${input.length} tokens: beside the answer there is room for ${room}`);
  const said: number[] = [];
  let told = 0;
  const tell = (whole: string, isDone: boolean) => {
    // A character may be cut in two between tokens.
    if (!isDone && whole.endsWith('\ufffd')) return;
    onText?.(whole.slice(told));
    told = whole.length;
  };
  const [result] = await generate(model, [input], {
    beams: 1,
    ...options,
    moreEnds: [...(options.moreEnds ?? []), ...turnEnds(template, tokenizer)],
    ...(onText && {
      onToken: (_: number, token: number) => {
        said.push(token);
        tell(tokenizer.decode(said), false);
      },
    }),
  });
  const answer = result!.text ?? tokenizer.decode(result!.ids);
  tell(answer, true);
  return answer;
}
