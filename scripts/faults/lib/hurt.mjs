// What can befall a rank: it is killed, stops without a word, finds the disk full or no memory; or the cable between
// two machines (network namespaces) is cut. `disk` and `cable` need root.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';

const root = (command, ...args) => execFileSync(command, args, { stdio: 'ignore' });
const may = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

/**
 * Each: `prepare(place, bytes)` before the run's folder is made below `place`, `strike(rank)` in the midst (a process),
 * `mend(place)` before the run goes on, `clean(place)` at the end. `spoken`: the victim itself says what it met.
 * `still`: the victim does not end by itself. `silent`: the others notice when the time is up. `seconds`: the group's
 * limit.
 */
export const ways = {
  killed: { strike: ({ running }) => running.kill('SIGKILL'), seconds: 60 },
  // Neither its threads nor its signs of life go on.
  stopped: { silent: true, still: true, strike: ({ running }) => running.kill('SIGSTOP'), seconds: 10 },
  memory: {
    spoken: true,
    seconds: 60,
    strike({ running: { pid } }) {
      const size = 1024 * Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmSize:\s+(\d+)/)[1]);
      may('prlimit', '--pid', String(pid), `--as=${size - (1 << 20)}`);
    },
  },
  disk: {
    spoken: true,
    seconds: 60,
    prepare(place, bytes) {
      mkdirSync(place);
      root('mount', '-t', 'tmpfs', '-o', `size=${Math.ceil(bytes / 4096) * 4096}`, 'promot-faults', place);
    },
    strike() {},
    mend: (place) => root('mount', '-o', 'remount,size=1g', place),
    clean: (place) => root('umount', place),
  },
  cable: {
    // A link that is cut is noticed when the time is up.
    silent: true,
    seconds: 10,
    hosts: (rank) => ['ip', 'netns', 'exec', host(rank)],
    env: { MASTER_ADDR: '10.98.0.1', GLOO_SOCKET_IFNAME: 'eth8' },
    prepare() {
      for (const rank of [0, 1]) root('ip', 'netns', 'add', host(rank));
      const [one, two] = [0, 1].map((rank) => ['netns', host(rank)]);
      root('ip', 'link', 'add', 'eth8', ...one, 'type', 'veth', 'peer', 'name', 'eth8', ...two);
      for (const rank of [0, 1])
        for (const words of [`addr add 10.98.0.${rank + 1}/24 dev eth8`, 'link set eth8 up', 'link set lo up'])
          root('ip', '-n', host(rank), ...words.split(' '));
    },
    strike: () => root('ip', '-n', host(1), 'link', 'set', 'eth8', 'down'),
    mend: () => root('ip', '-n', host(1), 'link', 'set', 'eth8', 'up'),
    clean() {
      for (const rank of [0, 1]) may('ip', 'netns', 'del', host(rank));
    },
  },
};

const host = (rank) => `promot-faults-${process.pid}-${rank}`;

/** The ways that this process is allowed to go; of the others it is said that they are left out. */
export function possible(names) {
  const isRoot = process.getuid?.() === 0;
  const has = { disk: isRoot && may('mount', '--version'), cable: isRoot && may('ip', 'netns', 'list') };
  const left = names.filter((name) => has[name] ?? true);
  for (const name of names) if (!left.includes(name)) console.log(`ranks: ${name} is left out: it needs root`);
  return left;
}
