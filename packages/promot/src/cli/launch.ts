// `promot launch`: starts a command in several processes of this machine, with the variables that torchrun would set.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { UserError } from '@promot/core/base';
import { Command, Option } from 'commander';
import { type Io, note } from './io.js';
import { wholeNumber } from './options.js';

interface Options {
  readonly processes: number;
  readonly nodes: number;
  readonly nodeRank: number;
  readonly masterAddr?: string;
  readonly masterPort?: number;
}

/** What several processes can do together. */
const commands = ['train', 'eval', 'generate', 'reproduce'];

/** How long the other processes may take to notice that one has ended, before they are ended. */
const MS_TO_NOTICE = 20_000;

export function launchCommand(io: Io): Command {
  // Kubeflow sets PET_*.
  const option = (flags: string, text: string, env: string, least: number) =>
    new Option(flags, text).env(env).argParser(wholeNumber(least));
  return new Command('launch')
    .description('Start a command in several processes that work together: promot launch --processes 2 train ...')
    .addOption(option('--processes <N>', 'processes on this machine', 'PET_NPROC_PER_NODE', 1).makeOptionMandatory())
    .addOption(option('--nodes <M>', 'machines', 'PET_NNODES', 1).default(1))
    .addOption(option('--node-rank <K>', "this machine's number, from 0", 'PET_NODE_RANK', 0).default(0))
    .addOption(new Option('--master-addr <H>', 'name or address of machine 0').env('PET_MASTER_ADDR'))
    .addOption(option('--master-port <P>', 'a free port of machine 0', 'PET_MASTER_PORT', 1))
    .argument('<command...>', 'the command and its options')
    .passThroughOptions()
    .action(async (command: string[], options: Options) => {
      const { processes, nodes, nodeRank, masterAddr, masterPort } = options;
      if (!commands.includes(command[0]!))
        throw new UserError(
          `launch starts ${commands.slice(0, -1).join(', ')} or ${commands.at(-1)}, whose work can be divided, ` +
            `not ${command[0]}`,
        );
      if (nodes > 1 && masterAddr === undefined)
        throw new UserError('--nodes needs --master-addr, the name of machine 0');
      if (nodeRank >= nodes)
        throw new UserError(`--node-rank ${nodeRank}: with --nodes ${nodes} it is 0 to ${nodes - 1}`);
      const port = masterPort ?? (nodes > 1 ? 29500 : await freePort());
      const common = {
        WORLD_SIZE: processes * nodes,
        LOCAL_WORLD_SIZE: processes,
        MASTER_ADDR: masterAddr ?? '127.0.0.1',
        MASTER_PORT: port,
      };
      const environments = Array.from({ length: processes }, (_, local) => ({
        ...common,
        RANK: nodeRank * processes + local,
        LOCAL_RANK: local,
      }));
      io.exitCode = await runAll(command, environments, io);
    });
}

/** Runs the command once for each set of variables; gives the exit code of the first one that failed. */
async function runAll(
  command: readonly string[],
  environments: readonly { readonly RANK: number }[],
  io: Io,
): Promise<number> {
  const [script = ''] = process.argv.slice(1);
  const running = environments.map((variables) => {
    const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, String(value)]));
    return spawn(process.execPath, [script, ...command], { stdio: 'inherit', env: { ...process.env, ...env } });
  });
  const endAll = (signal: NodeJS.Signals) => {
    for (const child of running) if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  };
  // A terminal's Ctrl-C reaches the processes by itself; they save and end, and so does this one.
  const ignore = () => undefined;
  const pass = () => endAll('SIGTERM');
  process.on('SIGINT', ignore).on('SIGTERM', pass);
  let failed: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.all(
      running.map(
        (child, i) =>
          new Promise<void>((resolve, reject) => {
            child.on('error', reject);
            child.on('exit', (code, signal) => {
              if (signal) note(io, `rank ${environments[i]!.RANK} was ended by ${signal}`);
              const own = signal ? 128 + constants.signals[signal] : (code ?? 1);
              if (own !== 0) {
                failed ??= own;
                timer ??= setTimeout(() => endAll('SIGKILL'), MS_TO_NOTICE);
              }
              resolve();
            });
          }),
      ),
    );
  } finally {
    clearTimeout(timer);
    process.off('SIGINT', ignore).off('SIGTERM', pass);
  }
  return failed ?? 0;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 29500;
}
