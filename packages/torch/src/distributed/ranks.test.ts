// The variables of each launcher, as they set them.
import { describe, expect, test } from 'vitest';
import { expandNodes, type Ranks, ranksFromEnvironment, rankThreads } from './ranks.js';

const torchrun = {
  RANK: '3',
  WORLD_SIZE: '4',
  LOCAL_RANK: '1',
  LOCAL_WORLD_SIZE: '2',
  GROUP_RANK: '1',
  ROLE_RANK: '3',
  MASTER_ADDR: 'gpu1',
  MASTER_PORT: '29500',
  TORCHELASTIC_RUN_ID: 'none',
  TORCHELASTIC_RESTART_COUNT: '2',
  TORCHELASTIC_MAX_RESTARTS: '3',
  TORCHELASTIC_USE_AGENT_STORE: 'True',
  OMP_NUM_THREADS: '1',
};
const srun = {
  SLURM_PROCID: '3',
  SLURM_LOCALID: '1',
  SLURM_NODEID: '1',
  SLURM_NTASKS: '8',
  SLURM_STEP_NUM_TASKS: '4',
  SLURM_STEP_NODELIST: 'gpu[07-08]',
  SLURM_JOB_NODELIST: 'gpu[06-09]',
  SLURM_STEP_TASKS_PER_NODE: '2(x2)',
  SLURM_JOB_ID: '1234567',
  SLURM_STEP_ID: '0',
};
const pod = {
  PET_NNODES: '3',
  PET_NPROC_PER_NODE: '1',
  PET_NODE_RANK: '2',
  PET_MASTER_ADDR: 'train-node-0-0.train',
  PET_MASTER_PORT: '29400',
};
const byHand = { RANK: '1', WORLD_SIZE: '2', MASTER_ADDR: '10.0.0.1', MASTER_PORT: '29500' };

const torchrunRanks: Ranks = {
  rank: 3,
  worldSize: 4,
  localRank: 1,
  localWorldSize: 2,
  masterAddr: 'gpu1',
  masterPort: 29500,
  agentStore: true,
  restart: 2,
  launcher: 'torchrun',
};

describe('ranksFromEnvironment', () => {
  test.each<[string, Record<string, string>, Ranks]>([
    ['torchrun', torchrun, torchrunRanks],
    ['torchrun inside of a Slurm job', { ...srun, ...torchrun }, torchrunRanks],
    [
      'srun',
      srun,
      {
        rank: 3,
        worldSize: 4,
        localRank: 1,
        localWorldSize: 2,
        masterAddr: 'gpu07',
        masterPort: 25670,
        agentStore: false,
        restart: 0,
        launcher: 'Slurm',
      },
    ],
    [
      'Kubeflow, a process a pod',
      pod,
      {
        rank: 2,
        worldSize: 3,
        localRank: 0,
        localWorldSize: 1,
        masterAddr: 'train-node-0-0.train',
        masterPort: 29400,
        agentStore: false,
        restart: 0,
        launcher: 'Kubeflow',
      },
    ],
    ['torchrun in a pod of Kubeflow', { ...pod, PET_NPROC_PER_NODE: '2', ...torchrun }, torchrunRanks],
    [
      'variables set by hand',
      byHand,
      {
        rank: 1,
        worldSize: 2,
        localRank: 0,
        localWorldSize: 1,
        masterAddr: '10.0.0.1',
        masterPort: 29500,
        agentStore: false,
        restart: 0,
        launcher: 'variables',
      },
    ],
  ])('%s', (_, env, ranks) => expect(ranksFromEnvironment(env)).toEqual(ranks));

  test('no launcher, and the script of a Slurm job outside of srun', () => {
    expect(ranksFromEnvironment({})).toBeUndefined();
    expect(ranksFromEnvironment({ SLURM_JOB_ID: '7', SLURM_NTASKS: '8', SLURM_PROCID: '0' })).toBeUndefined();
  });

  test('MASTER_ADDR and MASTER_PORT go before what Slurm says', () => {
    const ranks = ranksFromEnvironment({ ...srun, MASTER_ADDR: 'ib07', MASTER_PORT: '1234' });
    expect(ranks).toMatchObject({ masterAddr: 'ib07', masterPort: 1234 });
  });

  test.each([
    [{ ...byHand, WORLD_SIZE: undefined }, 'WORLD_SIZE is not set, but other variables of a launcher are.'],
    [{ ...byHand, RANK: undefined }, 'WORLD_SIZE is set and RANK is not: set both, or neither.'],
    [{ ...byHand, RANK: '2' }, 'rank 2 of 2 processes: ranks count from 0.'],
    [{ ...byHand, RANK: 'one' }, 'RANK is "one": a whole number from 0 up is needed.'],
    [{ ...byHand, MASTER_PORT: '70000' }, 'MASTER_PORT is 70000: ports end at 65535.'],
    [{ ...byHand, LOCAL_RANK: '2', LOCAL_WORLD_SIZE: '2' }, 'local rank 2 of 2 processes on this machine.'],
    [{ ...pod, PET_NPROC_PER_NODE: '4' }, 'PET_NPROC_PER_NODE is 4: something has to start that many processes'],
  ])('%o', (env, message) => expect(() => ranksFromEnvironment(env)).toThrow(message));
});

test('the nodes of Slurm', () => {
  expect(expandNodes('gpu[01-03,7],login')).toEqual(['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']);
  expect(expandNodes('r[1-2]-n[09-10]x')).toEqual(['r1-n09x', 'r1-n10x', 'r2-n09x', 'r2-n10x']);
  expect(expandNodes('one')).toEqual(['one']);
  expect(() => expandNodes('gpu[1-3')).toThrow('not understood');
  expect(() => expandNodes('gpu[3-1]')).toThrow('the range 3-1');
});

test('threads: the cores of a machine are divided among its ranks', () => {
  const ranks = ranksFromEnvironment(torchrun) as Ranks;
  const said = '8 threads a process: 16 cores for 2 processes. torchrun set OMP_NUM_THREADS=1.';
  expect(rankThreads(ranks, torchrun, 16)).toEqual({ threads: 8, said });
  expect(rankThreads(ranks, { ...torchrun, OMP_NUM_THREADS: '4' }, 16)).toEqual({ threads: 4 });
  const plain = ranksFromEnvironment({ ...byHand, LOCAL_RANK: '1', LOCAL_WORLD_SIZE: '3' }) as Ranks;
  expect(rankThreads(plain, {}, 2)).toEqual({ threads: 1, said: '1 thread a process: 2 cores for 3 processes.' });
  expect(rankThreads(plain, { OMP_NUM_THREADS: '1' }, 2)).toEqual({ threads: 1 });
});
