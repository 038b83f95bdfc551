/**
 * Whether there is a descriptor for one more connection to a server, in a process that may have 128 of them: 96 and a reserve.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const MODULE = fileURLToPath(new URL('../../../src/proxy/client/descriptors.ts', import.meta.url))

/** Runs a script that fills `seen`, in a process with 128 descriptors. `open(n)` uses them up to this number, `lost` has the next look made. */
async function inProcess(script: string): Promise<unknown> {
  const prelude = `
    import { closeSync, openSync } from 'node:fs'
    import { Descriptors } from ${JSON.stringify(MODULE)}
    const descriptors = new Descriptors({ warn() {} })
    const open = (last) => { while (openSync('/dev/null') < last); }
    const look = (coming) => { descriptors.lost(0, ''); return descriptors.hasRoom(coming) }
    const seen = []`
  const args = ['--nofile=128:128', process.execPath, '--input-type=module', '-e']
  const run = promisify(execFile)('prlimit', [...args, `${prelude}\n${script}\nconsole.log(JSON.stringify(seen))`])
  return JSON.parse((await run).stdout)
}

test('a gap below others is no room: what counts is how many are open', async () => {
  const seen = await inProcess(`
    open(93)
    seen.push(look(), look(3))
    open(110)
    closeSync(40)
    // The next one would be number 40, and there are more than 96 all the same.
    seen.push(look())
    for (let fd = 41; fd < 60; fd++) closeSync(fd)
    seen.push(look())`)
  expect(seen).toEqual([true, false, false, true])
})

test('without a look only half of the room is given out', async () => {
  const seen = await inProcess(`
    open(75)
    const given = (most) => { let n = 0; while (n < most && descriptors.hasRoom()) n++; return n }
    look()
    open(110)
    // Some twenty were free when it looked.
    seen.push(given(100))`)
  expect(seen).toEqual([expect.closeTo(10, -1)])
})
