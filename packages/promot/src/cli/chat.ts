// `promot generate --chat`: a conversation with a model, turn by turn.
import { createInterface } from 'node:readline';
import type { SamplingSettings } from '@promot/core/generation';
import type { LoadedModel } from '@promot/core/models';
import type { Tensor } from '@promot/torch';
import { answer, type Io } from './io.js';

interface ChatRequest {
  readonly system?: string | undefined;
  readonly json?: boolean | undefined;
  /** First turns of conversations of their own; absent: one conversation, whose turns are read line by line. */
  readonly turns?: { readonly inputs: readonly string[]; readonly several: boolean } | undefined;
  readonly settings: SamplingSettings & { readonly beams?: number; readonly maxNewTokens?: number };
}

type Opened = LoadedModel & { readonly prompt: Tensor | undefined };
type Message = { readonly role: 'system' | 'user' | 'assistant'; readonly content: string };

/**
 * Answers the turns that are given, or those that come line by line until the input ends; these see all before them.
 */
export async function chat(io: Io, opened: Opened, { system, json, turns, settings }: ChatRequest): Promise<void> {
  const { generateTurn, generateTurns } = await import('@promot/core/generation');
  const { prompt } = opened;
  const beginning: readonly Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  if (turns) {
    const conversations = turns.inputs.map((content) => ({ messages: [...beginning, { role: 'user', content }] }));
    const texts = await generateTurns(opened, conversations, { ...settings, prompt });
    const outputs = turns.inputs.map((input, i) => ({ input, text: texts[i]! }));
    const object = turns.several ? { outputs } : { text: outputs[0]!.text };
    answer(io, json, object, () => outputs.map(({ text }) => text).join('\n'));
    return;
  }
  const stdin = io.stdin ?? process.stdin;
  const isTerminal = (stdin as { isTTY?: boolean }).isTTY === true;
  const lines = createInterface({ input: stdin });
  const ask = () => {
    if (isTerminal) io.stderr.write('> ');
  };
  if (isTerminal) io.stderr.write('Write a line; Ctrl-D ends.\n');
  const messages: Message[] = [...beginning];
  ask();
  for await (const line of lines) {
    if (line.trim() !== '') {
      messages.push({ role: 'user', content: line });
      const streams = !json && (settings.beams ?? 1) === 1;
      const text = await generateTurn(opened, messages, {
        ...settings,
        prompt,
        ...(streams && { onText: (part: string) => io.stdout.write(part) }),
      });
      messages.push({ role: 'assistant', content: text });
      if (streams) io.stdout.write('\n');
      else answer(io, json, { text }, () => text);
    }
    ask();
  }
}
