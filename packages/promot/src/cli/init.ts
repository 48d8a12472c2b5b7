// `promot init`: asks a few questions and writes a task file with comments.
import { existsSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { UserError } from '@promot/core/base';
import { findFiles, readRecords } from '@promot/core/data';
import { newTask } from '@promot/core/tasks';
import { Command } from 'commander';
import type { Io } from './io.js';
import { note } from './io.js';

export function initCommand(io: Io): Command {
  return new Command('init')
    .description('Ask a few questions and write a task file for data of yours.')
    .option('--out <FILE>', 'the file to write (default: the task’s name with .yaml)')
    .action(async ({ out }: { readonly out?: string }) => {
      const lines = createInterface({ input: io.stdin ?? process.stdin });
      const answers = lines[Symbol.asyncIterator]();
      let refused: UserError | undefined;
      const ask = async (question: string, usual?: string): Promise<string> => {
        io.stderr.write(`${question}${usual === undefined ? '' : ` [${usual}]`} `);
        const { value, done } = await answers.next();
        if (done && refused) throw refused;
        const given = done ? '' : String(value).trim();
        if (given !== '') return given;
        if (usual !== undefined) return usual;
        throw new UserError(`no answer to "${question}": nothing is written`);
      };
      /** Asks again after an answer that cannot be used, as long as somebody answers. */
      const untilGood = async <T>(step: () => Promise<T>): Promise<T> => {
        for (;;)
          try {
            const good = await step();
            refused = undefined;
            return good;
          } catch (error) {
            if (!(error instanceof UserError) || error === refused) throw error;
            refused = error;
            note(io, error.message);
          }
      };
      try {
        const { data, row } = await untilGood(async () => {
          const data = await ask('Data file (CSV, TSV, JSONL, JSON or Parquet)?');
          const [file] = await findFiles(data, process.cwd());
          const { records } = await readRecords(file!, 1);
          return { data, row: records[0]! };
        });
        const columns = Object.keys(row);
        note(io, `It has ${columns.map((column) => `{${column}}`).join(', ')}. The first row:`);
        for (const [column, value] of Object.entries(row)) note(io, `  ${column}: ${shown(value)}`);
        const made = await untilGood(async () => {
          const input = await ask('What does the model get? Text with columns in braces.', `{${columns[0]}}`);
          const target = await ask('What should it answer?', `{${columns.at(-1)}}`);
          return await newTask({ data, input, target });
        });
        for (const text of made.notes) note(io, `- ${text}`);
        const free = (path: string) => {
          if (existsSync(path)) throw new UserError(`${path} is there already: name another file`);
          return path;
        };
        const asked = async () => free(await ask('Write it to?', `${made.name}.yaml`));
        const path = out === undefined ? await untilGood(asked) : free(out);
        writeFileSync(path, made.yaml);
        const called = io.program ?? 'promot';
        io.stdout.write(
          `Written: ${path}. Next: ${called} train --model google/flan-t5-small --task ${path} --method promot ` +
            `--out runs/${made.name}\n`,
        );
      } finally {
        lines.close();
      }
    });
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return JSON.stringify(text.length > 70 ? `${text.slice(0, 70)} ...` : text);
}
