import { writeFileSync } from 'node:fs';
import { renderReference } from './reference.ts';

writeFileSync(new URL('./REFERENCE.md', import.meta.url), renderReference());
