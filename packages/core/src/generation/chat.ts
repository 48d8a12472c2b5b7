// The assistant's next turn of a conversation.
import { UserError } from '../base/errors.js';
import { chatTemplate, turnEnds } from '../models/chat.js';
import type { LoadedModel } from '../models/load.js';
import type { ChatTurn } from '../tokenizer/chat-template.js';
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
 * What the assistant says next, without special tokens; by greedy search where nothing else is said. The soft prompt,
 * if any, stands in front of the whole conversation. Errors: a UserError for a model without a chat template, for turns
 * that the template refuses, and for a conversation for which the model has no room; those of `generate`.
 *
 * @example
 * const answer = await generateTurn(loaded, [{ role: 'user', content: 'Good morning!' }], { maxNewTokens: 64 });
 */
export async function generateTurn(
  loaded: LoadedModel,
  messages: readonly ChatTurn[],
  { onText, ...options }: ChatOptions = {},
): Promise<string> {
  const { tokenizer } = loaded;
  const said: number[] = [];
  let told = 0;
  const tell = (whole: string, isDone: boolean) => {
    // A character may be cut in two between tokens.
    if (!isDone && whole.endsWith('\ufffd')) return;
    onText?.(whole.slice(told));
    told = whole.length;
  };
  const onToken = (_: number, token: number) => {
    said.push(token);
    tell(tokenizer.decode(said), false);
  };
  const { tools, template, ...how } = options;
  const conversation = { messages, tools, template };
  const [answer] = await generateTurns(loaded, [conversation], { ...how, ...(onText && { onToken }) });
  tell(answer!, true);
  return answer!;
}

/** What is said next in it is wanted. */
interface OpenConversation extends Pick<ChatOptions, 'tools'> {
  readonly messages: readonly ChatTurn[];
  /** In place of the model's own chat template. */
  readonly template?: string | undefined;
}

/**
 * The same for several conversations; ranks that work together divide them. The turns that end one end all. Errors:
 * those of `generateTurn`, which name the conversation by its number where there are several.
 *
 * @example const answers = await generateTurns(loaded, [{ messages: [{ role: 'user', content: 'Good morning!' }] }]);
 */
export async function generateTurns(
  loaded: LoadedModel,
  conversations: readonly OpenConversation[],
  {
    longestInput = Number.POSITIVE_INFINITY,
    ...options
  }: Omit<ChatOptions, 'onText' | 'tools' | 'template'> & Pick<GenerateOptions, 'onToken'> = {},
): Promise<string[]> {
  const { model, tokenizer } = loaded;
  const { positions = Number.POSITIVE_INFINITY } = model.shape;
  const room = Math.min(
    longestInput,
    positions - (options.prompt?.size(0) ?? 0) - (options.maxNewTokens ?? usualNewTokens),
  );
  const ends = new Set(options.moreEnds);
  const inputs = conversations.map(({ messages, tools, template: own }, i) => {
    const name = conversations.length === 1 ? 'the conversation' : `conversation ${i + 1}`;
    const template = chatTemplate(loaded, own, name);
    for (const id of turnEnds(template, tokenizer)) ends.add(id);
    const text = template.render(messages, { tools, generationPrompt: true });
    const input = tokenizer.encode(text, { specialTokens: false });
    if (input.length > room)
      throw new UserError(`${name} has ${input.length} tokens: beside the answer there is room for ${room}`);
    return input;
  });
  const results = await generate(model, inputs, { beams: 1, ...options, moreEnds: [...ends] });
  return results.map(({ text, ids }) => text ?? tokenizer.decode(ids));
}
