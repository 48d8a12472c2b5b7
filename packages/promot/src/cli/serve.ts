// `promot serve`: a model behind HTTP, for programs of any language.
import { Command } from 'commander';
import { untilInterrupted } from './interrupt.js';
import type { Io } from './io.js';
import { checkPlaces } from './open.js';
import { type CommonOptions, modelOption, requireFlags, wholeNumber, withCommonOptions, wordList } from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';
import { useTorch } from './torch.js';

interface Options extends CommonOptions {
  readonly model: string;
  readonly task?: readonly string[];
  readonly host: string;
  readonly port: number;
}

export function serveCommand(io: Io): Command {
  const command = new Command('serve')
    .description('Serve a model over HTTP until Ctrl-C or SIGTERM. See docs/reference/serve.md.')
    .addOption(modelOption())
    .option('--task <A,B>', 'tasks to answer, each with its own soft prompt (default: those of the run)', wordList)
    .option('--host <ADDRESS>', 'where to listen; by default only this machine can ask', '127.0.0.1')
    .option('--port <N>', '0: any that is free', wholeNumber(0, 65535), 8000);
  return requireFlags(withCommonOptions(command), '--model').action(async (options: Options) => {
    const settings = readKnownSettings(options, ['precision', 'device']);
    const progress = new Progress(io);
    await checkPlaces(options.model, undefined, progress);
    await useTorch();
    const { Service } = await import('../serve/service.js');
    const { isLoopback, startServer } = await import('../serve/server.js');
    const service = await Service.open({
      model: options.model,
      ...(options.task && { tasks: options.task }),
      ...settings,
    });
    try {
      const { host, port } = options;
      const onError = (error: unknown) => progress.line(`failed: ${(error as Error).stack ?? error}`);
      const server = await startServer(service, { host, port, onError });
      if (!isLoopback(host))
        progress.line('note: everybody who reaches this address can ask: there are no passwords. Put a proxy in front');
      const paths = [
        '/v1/completions',
        '/v1/chat/completions',
        ...[...service.tasks.keys()].map((name) => `/v1/tasks/${name}`),
      ];
      const { json } = options;
      io.stdout.write(
        json
          ? `${JSON.stringify({ url: server.url, model: service.name, paths })}\n`
          : `Serving ${service.name} at ${server.url}\n${paths.map((path) => `  POST ${path}\n`).join('')}`,
      );
      await untilInterrupted(progress, 'Answering what has arrived', async (signal) => {
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
        await server.close();
      });
    } finally {
      service.dispose();
    }
  });
}
