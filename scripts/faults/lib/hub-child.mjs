// Downloads a model from a hub that lies; says what came of it. Started by LimitedProcess.
import { answer } from './answer.mjs';

const { hubSnapshot } = await import(new URL('../../../packages/core/dist/hub/index.js', import.meta.url).href);

answer(async (options) => {
  const notes = [];
  const onEvent = (event) => event.type === 'note' && notes.push(event.text);
  const wanted = (paths) => paths;
  try {
    const { folder } = await hubSnapshot({ type: 'model', name: 'owner/name' }, wanted, {
      ...options,
      onEvent,
      token: 'secret',
    });
    return { message: folder, notes };
  } catch (error) {
    throw Object.assign(error, { notes });
  }
});
