/**
 * Each kind of chaos once, with another seed each time. `npm run test:long -- chaos` is ten minutes of it.
 */
import { expect, test } from 'vitest'
import { startProgram } from '../support/process.ts'

test('random replies, bytes, tables and bodies: the proxy serves on, and stalls nobody', async () => {
  const chaos = startProgram(['test/chaos/main.ts', '--seconds', '20'])
  expect(await chaos.ended(), chaos.log.join('\n') + chaos.stderr).toBe(0)
})
