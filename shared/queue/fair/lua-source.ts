import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The scripts build on BullMQ's Lua as it is in this release, and were tested with no other. */
const bullmqVersion = '6.7.0';

const directive = /^--- @(\w+) ?"?([\w:/-]*)"?.*$/gm;
const eachCallMark = '--- @each call\n';
/** BullMQ's name for redis.call; in ours it is defined once, by calls.lua. */
const ownCall = /^\s*local rcall = redis\.call;?\s*$/gm;

function bullmqCommands(): string {
  const manifest = createRequire(import.meta.url).resolve('bullmq/package.json');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  if (version !== bullmqVersion) {
    throw new Error(`Sluice builds on the scripts of bullmq ${bullmqVersion}; ${version} is installed.`);
  }
  return join(dirname(manifest), 'dist', 'cjs', 'commands');
}

const commands = bullmqCommands();
const own = new URL('./lua/', import.meta.url);

function readOwn(name: string): string {
  return readFileSync(new URL(name, own), 'utf8');
}

/** What one of our files names with `key.` or `arg.`, outside of its comments. */
function namesIn(text: string): string[] {
  const code = text.replace(/--\[\[[\s\S]*?\]\]/g, '').replace(/--.*$/gm, '');
  return [...code.matchAll(/(?<![\w.'"])((?:key|arg)\.\w+)/g)].map(([, name]) => name!);
}

/**
 * A module keeps nothing from call to call: its table takes no new fields once it is loaded. What belongs to one call
 * goes into `pool`, which is new in each.
 */
function sealOf(text: string): string {
  const module = /^local (\w+) = \{/m.exec(text)?.[1];
  return module ? `seal(${module})\n` : '';
}

interface Body {
  text: string;
  /** Every `key.name` and `arg.name` that it and its includes use. */
  names: ReadonlySet<string>;
}

/**
 * The Lua of several scripts that share their includes. `--- @include "name"` takes lua/includes/name.lua,
 * `--- @include "bullmq:name"` BullMQ's include of that name from the installed package, each once for all scripts;
 * `--- @wrapped name` is the BullMQ script that the script wraps, as a function of its KEYS and ARGV. What follows
 * `--- @each call` in an include runs at the beginning of each call, everything else of it once.
 */
export class LuaSource {
  /** What runs once, by file, in the order of use. */
  readonly loaded = new Map<string, string>();
  /** What runs at the beginning of each call. */
  eachCall = '';
  readonly #names = new Map<string, ReadonlySet<string>>();
  readonly #suffixes: Record<string, string>;

  /** What `key.name` stands for: the queue's key with this at its end. */
  constructor(suffixes: Record<string, string>) {
    this.#suffixes = suffixes;
  }

  /** The script without its includes, which are loaded from now on. */
  script(file: string, wrapped?: string): Body {
    const names = new Set<string>();
    const text = this.#expand(readOwn(file), names, wrapped);
    return { text, names };
  }

  #expand(text: string, names: Set<string>, wrapped?: string): string {
    for (const name of namesIn(text)) names.add(name);
    return this.#resolveKeys(text).replace(directive, (line, kind: string, name: string) => {
      if (kind === 'wrapped' && wrapped) return this.#wrap(name, wrapped);
      if (kind !== 'include') throw new Error(`Nothing is known of "${line}" in a script of the fair queue.`);
      if (name.startsWith('bullmq:')) this.#includeBullmq(`includes/${name.slice('bullmq:'.length)}`);
      else for (const used of this.#includeOwn(name)) names.add(used);
      return '';
    });
  }

  #resolveKeys(text: string): string {
    return text.replace(/(?<![\w.])key\.(\w+)/g, (whole, name: string) => {
      const suffix = this.#suffixes[name];
      if (suffix === undefined) return whole;
      return suffix === '' ? 'queueKey' : `(queueKey .. '${suffix}')`;
    });
  }

  #includeOwn(name: string): ReadonlySet<string> {
    const known = this.#names.get(name);
    if (known) return known;
    const names = new Set<string>();
    this.#names.set(name, names);
    const [once = '', eachCall = ''] = readOwn(`includes/${name}.lua`).split(eachCallMark);
    const text = this.#expand(once, names);
    this.loaded.set(name, `${text}${sealOf(text)}`);
    this.eachCall += this.#expand(eachCall, names);
    return names;
  }

  #includeBullmq(path: string): void {
    const name = `bullmq:${path}`;
    if (this.loaded.has(name)) return;
    // Before its own includes, so that a circle ends; set again behind them, because they are to be loaded before it.
    this.loaded.set(name, '');
    const text = this.#expandBullmq(path);
    this.loaded.delete(name);
    this.loaded.set(name, text);
  }

  #expandBullmq(path: string): string {
    const folder = dirname(path);
    const text = readFileSync(join(commands, `${path}.lua`), 'utf8');
    return text
      .replace(directive, (line, kind: string, name: string) => {
        if (kind === 'include') this.#includeBullmq(join(folder, name));
        return kind === 'include' ? '' : line;
      })
      .replace(ownCall, '');
  }

  #wrap(functionName: string, script: string): string {
    return `local function ${functionName}(KEYS, ARGV)\n${this.#expandBullmq(script)}\nend`;
  }
}
