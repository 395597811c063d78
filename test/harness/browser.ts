import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { executablePath } from '#config/load.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
/** A browser that calls nobody but the page's own server. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Path of an installed Chromium; undefined when there is none. */
export function findChromium(): string | undefined {
  const folders = executablePath().split(delimiter).filter(Boolean);
  return folders
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

/** Why browser tests are skipped, for their names. */
export const noChromium = 'no Chromium in PATH (Debian: apt-get install -y chromium)';

export function startBrowser(path: string): Promise<Browser> {
  return chromium.launch({ executablePath: path, args });
}
