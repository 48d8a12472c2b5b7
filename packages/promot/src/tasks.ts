// The entry `promot/tasks`. Tasks: the paper's, the lab's, your own; never loads libtorch.
import './lab/register-tasks.js';

export * from '@promot/core/tasks';
