/**
 * Runs scripts/twenty-minutes.ts for its tests.
 */
import { onTestFinished } from 'vitest'
import { type Program, startProgram } from '../support/process.ts'

/** Runs the script with a part of the service's tests. */
export async function run(...args: string[]): Promise<{ code: number | null; said: string; complaint: string }> {
  const script = startProgram(['scripts/twenty-minutes.ts', '--tests', 'test/gtin-service/conditions', ...args])
  onTestFinished(async () => {
    await script.stop()
  })
  const code = await exitOf(script)
  return { code, said: script.log.join('\n'), complaint: script.stderr }
}

function exitOf({ child }: Program): Promise<number | null> {
  return new Promise((resolve) => child.once('close', resolve))
}
