/**
 * `--listen unix:PATH` with workers: they share the socket, and its file outlives none of them by mistake.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { scriptedUpstream } from '../support/upstream.ts'

function get(socketPath: string): Promise<number | string> {
  return new Promise((resolve) => {
    const req = request({ socketPath, headers: { Host: 'a.test' }, agent: false }, (res) => {
      res.resume()
      resolve(res.statusCode as number)
    })
    req.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'error'))
    req.end()
  })
}

test('workers share a Unix socket; what a killed primary leaves is taken over, a living one is not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-unix-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const upstream = await scriptedUpstream((asked) => asked.ok())
  const path = join(folder, 'http.sock')
  const start = async (): Promise<Banyan> => {
    const args = ['--listen', `unix:${path}`, '--workers', '2']
    return await startBanyan({ table: tableFor(upstream.port), args, complains: true })
  }
  const killed = await start()
  onTestFinished(() => void killed.stop())
  expect(statSync(path).mode & 0o777).toBe(0o660)
  expect(new Set(await Promise.all(Array.from({ length: 50 }, () => get(path))))).toEqual(new Set([200]))
  await expect(start()).rejects.toThrow(`--listen unix:${path}: address already in use`)
  // A worker that is replaced takes nothing away.
  killed.program.child.kill('SIGHUP')
  await killed.program.line((line) => line.includes('reload') || line.includes('replaced'))
  expect(await get(path)).toBe(200)

  await killed.program.kill()
  await expect.poll(() => get(path)).toBe('ECONNREFUSED')
  const second = await start()
  onTestFinished(() => void second.stop())
  expect(await get(path)).toBe(200)
  expect(await second.stop()).toBe(0)
  expect(existsSync(path)).toBe(false)
})
