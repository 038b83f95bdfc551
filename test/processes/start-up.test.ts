/**
 * Starts: no process loads what no request needs, or can be ended by a signal while it loads.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'

test('no process of the proxy loads undici, or other commands', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-start-up-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'loaded')
  const told = `import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
const loaded = []
const load = (url, context, next) => (loaded.push(url), next(url, context))
registerHooks({ load })
process.on('exit', () => {
  const ours = [...process.moduleLoadList, ...loaded].filter((name) => /undici|\\/http$|cli.(run|deploy|top)/.test(name))
  appendFileSync(${JSON.stringify(file)}, ours.length + ' ' + ours + '\\n')
})`
  const nodeFlags = ['--import', `data:text/javascript,${encodeURIComponent(told)}`]
  const banyan = await startBanyan({ table: tableFor(9), nodeFlags, args: ['--workers', '1'] })
  expect(await banyan.stop()).toBe(0)
  // The primary, and its worker.
  expect(readFileSync(file, 'utf8')).toBe('1 NativeModule internal/http\n'.repeat(2))
})

test('a signal to all processes finds them prepared before the program is loaded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-start-up-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'prepared')
  const told = `import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
const load = (url, context, next) => {
  if (url.endsWith('/src/command-line.ts')) {
    const signals = process.eventNames().filter((name) => String(name).startsWith('SIG'))
    appendFileSync(${JSON.stringify(file)}, process.argv[2] + ' ' + signals + '\\n')
  }
  return next(url, context)
}
registerHooks({ load })`
  const nodeFlags = ['--import', `data:text/javascript,${encodeURIComponent(told)}`]
  const banyan = await startBanyan({ table: tableFor(9), nodeFlags, args: ['--workers', '1'] })
  expect(await banyan.stop()).toBe(0)
  expect(readFileSync(file, 'utf8').split('\n')).toEqual([
    'serve SIGHUP,SIGUSR1,SIGUSR2',
    'worker SIGTERM,SIGINT,SIGHUP,SIGUSR1,SIGUSR2',
    '',
  ])
})
