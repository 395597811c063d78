// Owns an embedded Redis until it is killed: `embedded-owner.ts <server> <dataDir>`. Says `up` when it runs.
import { systemClock } from '#shared/kernel/clock.ts';
import { EmbeddedServer } from '#shared/redis/embedded-server.ts';

const [, , server, dataDir] = process.argv;
const embedded = new EmbeddedServer({
  server: server!,
  dataDir: dataDir!,
  clock: systemClock,
  startTimeoutMs: 20_000,
  onUnexpectedExit: (detail) => console.error(detail),
});
try {
  await embedded.start();
  console.log('up');
  process.on('SIGTERM', () => void embedded.stop().then(() => process.exit(0)));
  process.stdin.resume();
} catch (error) {
  console.log((error as Error).message);
  process.exitCode = 1;
}
