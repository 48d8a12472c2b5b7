// The HTTP side of `promot serve`: routes, limits, errors as JSON. One answer is made at a time, the others wait.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { systemError, UserError } from '@promot/core/errors';
import { Queue, QueueFull } from './queue.js';
import { chatRequest, completionRequest, readRequest, taskRequest } from './requests.js';
import type { AnswerOptions, Completion, Service } from './service.js';

interface ServerOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Requests that may wait. Default 64. */
  readonly waiting?: number;
  /** Hears of faults that are not the client's. */
  readonly onError?: (error: unknown) => void;
}

export interface RunningServer {
  /** Such as http://127.0.0.1:8000 */
  readonly url: string;
  /**
   * Takes no more requests and waits for those at work, at most `grace` milliseconds; then they are ended, too.
   * Resolves when every connection is closed.
   */
  close(grace?: number): Promise<void>;
}

/** Bytes of a body. */
const largestBody = 1 << 20;
/** Milliseconds in which a request must have arrived. */
const arrival = 30_000;

/** An answer that is sent part by part, as OpenAI's clients read it: server-sent events. */
class Stream {
  constructor(private readonly response: ServerResponse) {}

  send(event: object | string): void {
    const { response } = this;
    if (response.destroyed) return;
    if (!response.headersSent)
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
    response.write(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
  }

  end(): this {
    this.send('[DONE]');
    this.response.end();
    return this;
  }
}

/** A refusal with its HTTP status. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/**
 * Serves a model until `close`. Errors: a UserError where the port is taken or the host is none of this machine.
 *
 * @example
 * const server = await startServer(await Service.open({ model: 'runs/tickets' }), { host: '127.0.0.1', port: 8000 });
 */
export async function startServer(
  service: Service,
  { host, port, waiting = 64, onError }: ServerOptions,
): Promise<RunningServer> {
  const queue = new Queue(waiting);
  const closing = new AbortController();
  const server = createServer({ requestTimeout: arrival, headersTimeout: arrival }, (request, response) => {
    const gone = new AbortController();
    // A client that hangs up wants no answer: what is made for it ends.
    response.once('close', () => gone.abort(new Error('the client has hung up')));
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    handle(request, { service, queue, signal, isLocal: isLoopback(host), response })
      .then((answer) => (answer instanceof Stream ? undefined : send(response, 200, answer)))
      .catch((error) => {
        if (gone.signal.aborted) return;
        const { status, code, message, headers } = closing.signal.aborted
          ? new Refusal(503, 'closing', 'the server is ending')
          : asRefusal(error, onError);
        // The rest of a body that nobody reads must not hold the connection.
        const rest: Record<string, string> = request.complete ? {} : { connection: 'close' };
        const type = status < 500 ? 'invalid_request_error' : 'server_error';
        const told = { error: { message, type, code } };
        // Behind the first part of an answer there is no status to give any more.
        if (response.headersSent) response.end(`data: ${JSON.stringify(told)}\n\n`);
        else send(response, status, told, { ...headers, ...rest });
      });
  });
  await listen(server, host, port);
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    close: async (grace = 10_000) => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      const late = setTimeout(() => closing.abort(), grace);
      await closed;
      clearTimeout(late);
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen(port, host);
    // Rejects where the server emits an error.
    await once(server, 'listening');
  } catch (error) {
    const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    const why = inUse ? 'the port is in use: name another with --port' : (error as Error).message;
    throw new UserError(`${host}:${port}: ${why}`, { cause: error });
  }
}

interface Context {
  readonly service: Service;
  readonly queue: Queue;
  readonly signal: AbortSignal;
  readonly response: ServerResponse;
  /** Whether only this machine is served. */
  readonly isLocal: boolean;
}

/** The answer to a request. Errors: Refusal, UserError. */
async function handle(request: IncomingMessage, context: Context): Promise<object> {
  const { queue, isLocal } = context;
  // A page in a browser may send a person's own machine requests under a name that it made up (DNS rebinding).
  if (isLocal && !isLocalName(request.headers.host))
    throw new Refusal(403, 'forbidden', `this server answers to localhost alone, not to ${request.headers.host}`);
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const route = routes.find(({ path }) => path.test(pathname));
  if (!route)
    throw new Refusal(
      404,
      'not-found',
      `no ${pathname} here. GET /v1/models and GET /v1/tasks say what can be asked (docs/reference/serve.md)`,
    );
  if (request.method !== route.method)
    throw new Refusal(405, 'bad-method', `${pathname} takes ${route.method}`, { allow: route.method });
  const [, name = ''] = route.path.exec(pathname)!;
  if (route.method === 'GET') return route.answer(context, '', '');
  // With another type a browser would send a foreign page's request without asking first.
  if (!/^application\/json\b/iu.test(request.headers['content-type'] ?? ''))
    throw new Refusal(415, 'bad-type', 'send the header content-type: application/json');
  if (queue.length > queue.limit) throw new QueueFull('too many requests are waiting');
  const text = await readBody(request);
  return route.answer(context, text, decodeURIComponent(name));
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  answer(context: Context, body: string, name: string): Promise<object> | object;
}

const seconds = () => Math.floor(Date.now() / 1000);

const routes: readonly Route[] = [
  {
    method: 'GET',
    path: /^\/health$/u,
    answer: ({ queue }) => ({ status: 'ok', requests: queue.length }),
  },
  {
    method: 'GET',
    path: /^\/v1\/models$/u,
    answer: ({ service }) => ({
      object: 'list',
      data: service.models.map((id) => ({ id, object: 'model', created: 0, owned_by: 'promot' })),
    }),
  },
  {
    method: 'GET',
    path: /^\/v1\/tasks$/u,
    answer: ({ service }) => ({
      tasks: [...service.tasks].map(([name, { task, prompt }]) => ({
        name,
        ...(task.labels && { labels: task.labels }),
        softPrompt: prompt !== undefined,
      })),
    }),
  },
  {
    method: 'POST',
    path: /^\/v1\/tasks\/([^/]+)$/u,
    answer: async ({ service, queue, signal }, text, name) => {
      if (!service.tasks.has(name))
        throw new Refusal(
          404,
          'unknown-task',
          `no task ${name}: this server has ${[...service.tasks.keys()].join(', ') || 'none'}`,
        );
      const { body, records } = readRequest(text, taskRequest);
      const answers = await queue.run(signal, () => service.ask(name, records, { ...options(body), signal }));
      return body.record === undefined ? { task: name, answers } : { task: name, ...answers[0] };
    },
  },
  {
    method: 'POST',
    path: /^\/v1\/completions$/u,
    answer: async ({ service, queue, signal }, text) => {
      const { body } = readRequest(text, completionRequest);
      const model = modelOf(body.model, service);
      const answers = await queue.run(signal, () => service.complete(model, body.prompt, { ...options(body), signal }));
      return {
        ...head('cmpl', 'text_completion', model),
        choices: answers.map(({ text, finished }, index) => ({
          index,
          text,
          finish_reason: reason(finished),
          logprobs: null,
        })),
        usage: usage(answers),
      };
    },
  },
  {
    method: 'POST',
    path: /^\/v1\/chat\/completions$/u,
    answer: async ({ service, queue, signal, response }, text) => {
      const { body } = readRequest(text, chatRequest);
      const model = modelOf(body.model, service);
      const { messages, tools, stream: inParts, max_completion_tokens: max_tokens = body.max_tokens } = body;
      const how = { ...options({ ...body, max_tokens }), ...(tools && { tools }), signal };
      // Every part has the same head.
      const part = head('chatcmpl', 'chat.completion.chunk', model);
      const stream = new Stream(response);
      const tell = (delta: object, finish_reason: string | null) =>
        stream.send({ ...part, choices: [{ index: 0, delta, finish_reason }] });
      const onText = (content: string) => tell({ content }, null);
      const answer = await queue.run(signal, () =>
        service.chat(model, messages, { ...how, ...(inParts && { onText }) }),
      );
      const finish_reason = reason(answer.finished);
      if (inParts) {
        tell({}, finish_reason);
        return stream.end();
      }
      const message = { role: 'assistant', content: answer.text };
      return {
        ...head('chatcmpl', 'chat.completion', model),
        choices: [{ index: 0, message, finish_reason, logprobs: null }],
        usage: usage([answer]),
      };
    },
  },
];

const head = (kind: string, object: string, model: string) => {
  return { id: `${kind}-${randomUUID()}`, object, created: seconds(), model };
};

const reason = (finished: boolean) => (finished ? 'stop' : 'length');

function usage(answers: readonly Completion[]) {
  const sum = (of: (answer: Completion) => number) => answers.reduce((n, one) => n + of(one), 0);
  const [prompt, completion] = [sum((one) => one.inputTokens), sum((one) => one.outputTokens)];
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

/** OpenAI's names for what `generate` takes. */
const optionNames = {
  max_tokens: 'maxNewTokens',
  beams: 'beams',
  stop: 'stop',
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
  no_repeat_ngram_size: 'noRepeatNgram',
  seed: 'seed',
} as const;

function options(body: { readonly [K in keyof typeof optionNames]?: unknown }): Omit<AnswerOptions, 'signal'> {
  const given = Object.entries(optionNames).map(
    ([key, name]) => [name, body[key as keyof typeof optionNames]] as const,
  );
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** The model that a request names, or the bare one. */
function modelOf(name: string | undefined, service: Service): string {
  if (name === undefined || service.models.includes(name)) return name ?? service.name;
  throw new Refusal(404, 'unknown-model', `no model ${name}: this server has ${service.models.join(', ')}`);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const tooLarge = () => new Refusal(413, 'too-large', `the body is larger than ${largestBody} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > largestBody) throw tooLarge();
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > largestBody) throw tooLarge();
    parts.push(part);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch (error) {
    throw new UserError('the body is not UTF-8', { cause: error });
  }
}

function asRefusal(error: unknown, onError: ServerOptions['onError']): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof QueueFull) return new Refusal(503, 'busy', error.message, { 'retry-after': '1' });
  if (error instanceof URIError) return new Refusal(400, 'bad-input', 'the path is not well formed');
  const known = error instanceof UserError ? error : systemError(error);
  if (known) return new Refusal(400, known.code, known.message);
  onError?.(error);
  // What went wrong inside is the operator's to know.
  return new Refusal(500, 'internal', 'the server failed at this request; its log says more');
}

function send(response: ServerResponse, status: number, body: object, headers: Readonly<Record<string, string>> = {}) {
  if (response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(text);
}

/** Whether an address can be reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isLocalName(header: string | undefined): boolean {
  const name = (header ?? '').replace(/:\d+$/u, '').replace(/^\[(.*)\]$/u, '$1');
  return isLoopback(name.toLowerCase());
}
