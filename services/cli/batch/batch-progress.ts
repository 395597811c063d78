import type { CliContext } from '../cli-context.ts';
import { costOf, formatSpan } from '../table.ts';
import type { Batch } from './batch-shape.ts';

const barWidth = 24;
/** Where nobody watches, a line is written this often. */
const plainLineMs = 5_000;
/** Calls per second are those of this span. */
const paceSpanMs = 15_000;
const eraseLine = '\r\u001b[2K';

const grouped = (value: number) => value.toLocaleString('en-US');

/** How far a batch is: one line that is drawn anew on a terminal, plain lines elsewhere. */
export class BatchProgress {
  readonly #context: CliContext;
  readonly #samples: { atMs: number; done: number }[] = [];
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #said = '';

  constructor(context: CliContext) {
    this.#context = context;
  }

  show(batch: Batch, ceiling: string | undefined): void {
    const { clock, watched, say } = this.#context;
    const nowMs = clock.monotonicMs();
    const line = this.#line(batch, ceiling, nowMs);
    if (watched) process.stderr.write(`${eraseLine}${line}`.slice(0, eraseLine.length + this.#columns));
    else if (line !== this.#said && nowMs - this.#saidAtMs >= plainLineMs) {
      this.#saidAtMs = nowMs;
      this.#said = line;
      say(line);
    }
  }

  /** Leaves the terminal as it was. */
  clear(): void {
    if (this.#context.watched) process.stderr.write(eraseLine);
  }

  /** Calls per second over the last few seconds. */
  pace(batch: Batch, nowMs: number): number {
    const { completed, failed } = batch.request_counts;
    this.#samples.push({ atMs: nowMs, done: completed + failed });
    while (nowMs - this.#samples[0]!.atMs > paceSpanMs) this.#samples.shift();
    const [first, last] = [this.#samples[0]!, this.#samples.at(-1)!];
    return last.atMs === first.atMs ? 0 : ((last.done - first.done) * 1_000) / (last.atMs - first.atMs);
  }

  get #columns(): number {
    return process.stderr.columns || 80;
  }

  #line(batch: Batch, ceiling: string | undefined, nowMs: number): string {
    const { total, completed, failed } = batch.request_counts;
    const share = total === 0 ? 0 : (completed + failed) / total;
    const filled = Math.round(share * barWidth);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`;
    const leftMs = (batch.estimated_completion ?? 0) * 1_000 - this.#context.clock.nowMs();
    const parts = [
      `${Math.floor(share * 100)} %`,
      `${grouped(completed)} of ${grouped(total)} done${failed > 0 ? `, ${grouped(failed)} failed` : ''}`,
      `${this.pace(batch, nowMs).toFixed(1)} calls/s`,
      ceiling === undefined ? '' : `ceiling ${ceiling}`,
      batch.usage ? `${grouped(batch.usage.total_tokens)} tokens` : '',
      costOf(batch.usage?.cost_usd),
      batch.status === 'in_progress' && leftMs > 0 ? `about ${formatSpan(leftMs)} left` : batch.status,
    ];
    return `${this.#context.watched ? `${bar}  ` : ''}${parts.filter(Boolean).join('  ')}`;
  }
}
