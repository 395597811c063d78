import { afterAll, beforeAll, expect, test } from 'vitest';
import { findChromium, noChromium, startBrowser } from '../harness/browser.ts';
import { startSluice, type TestSluice } from '../harness/sluice.ts';

const byText = (left: string, right: string) => left.localeCompare(right);
const chromium = findChromium();
let sluice: TestSluice | undefined;
beforeAll(async () => {
  if (chromium) sluice = await startSluice({ withoutWorker: true });
});
afterAll(() => sluice?.stop());

const name =
  'the page at /docs lists every operation, asks no other server for anything and reports no error';
test.skipIf(!chromium)(chromium ? name : `${name} (skipped: ${noChromium})`, async () => {
  const browser = await startBrowser(chromium!);
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    const hosts = new Set<string>();
    page.on('console', (message) => void (message.type() === 'error' && errors.push(message.text())));
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('request', (request) => hosts.add(new URL(request.url()).origin));
    page.on(
      'response',
      (response) => void (response.status() >= 400 && errors.push(`${response.status()} ${response.url()}`)),
    );
    await page.goto(`${sluice!.url}/docs`);
    await page.locator('.opblock').first().waitFor();
    const listed = await page
      .locator('.opblock-summary-path')
      .evaluateAll((nodes) => nodes.map((node) => node.textContent ?? ''));
    const plain = listed.map((path) => path.replaceAll('\u200b', ''));
    const { paths } = (await (await fetch(`${sluice!.url}/docs/json`)).json()) as {
      paths: Record<string, object>;
    };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map(() => path),
    );
    expect(plain.sort(byText)).toEqual(described.sort(byText));
    expect(errors).toEqual([]);
    expect([...hosts].filter((origin) => origin.startsWith('http'))).toEqual([sluice!.url]);
  } finally {
    await browser.close();
  }
});
