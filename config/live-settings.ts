import { isDeepStrictEqual } from 'node:util';
import { liveGroups, type Settings } from './schema.ts';

export interface Reread {
  /** What holds from now on: the live groups as they were read, everything else as it runs. */
  settings: Settings;
  /** Whether anything of the live groups is different. */
  changed: boolean;
  /** Settings that were changed but hold only after a restart, as `group.field`. */
  needsRestart: string[];
}

const isLive = (group: string) => (liveGroups as readonly string[]).includes(group);

/** Splits a configuration that was read again into what may change in a running process and what may not. */
export function takeLiveGroups(running: Settings, read: Settings): Reread {
  const groups = Object.keys(read) as (keyof Settings)[];
  const live = Object.fromEntries(groups.filter(isLive).map((group) => [group, read[group]]));
  const fixed = groups.filter((group) => !isLive(group));
  return {
    settings: { ...running, ...live },
    changed: !groups.filter(isLive).every((group) => isDeepStrictEqual(read[group], running[group])),
    needsRestart: fixed.flatMap((group) =>
      changedFields(running[group], read[group]).map((field) => `${group}.${field}`),
    ),
  };
}

function changedFields(before: object, after: object): string[] {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const fields = new Set([...old.keys(), ...now.keys()]);
  return [...fields].filter((field) => !isDeepStrictEqual(old.get(field), now.get(field)));
}
