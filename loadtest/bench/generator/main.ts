// The load generator: a process of its own that runs one closed loop at a time on demand.
import { runClosedLoop } from './closed-loop.ts';
import type { GeneratorEvent, RunCommand } from './protocol.ts';

const tell = (event: GeneratorEvent) => void process.send!(event);
process.on('message', (command) => void runClosedLoop(command as RunCommand, tell).then(tell));
process.once('SIGTERM', () => process.exit(0));
process.once('disconnect', () => process.exit(0));
console.log('generator ready');
