// One rank of a run that the campaign `ranks` hurts. Argument: the request of `train` as JSON; a line for every event.
const built = (path) => import(new URL(`../../../packages/${path}`, import.meta.url).href);
const { distributed } = await built('torch/dist/index.js');
const { train } = await built('core/dist/training/index.js');

try {
  await distributed.initProcessGroup({ seconds: Number(process.env.SECONDS ?? 60) });
  await train({
    ...JSON.parse(process.argv[2]),
    onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
  });
  await distributed.destroyProcessGroup();
} catch (error) {
  await distributed.abortProcessGroup(error);
  process.stderr.write(`${error.name}: ${error.message}\n`);
  process.exit(1);
}
