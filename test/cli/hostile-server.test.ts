/**
 * What a server says is printed, and does nothing else to a terminal; and a pipe that is closed ends what would go on.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { banyan } from './rig.ts'

const HOSTILE = '\x1b]0;title\x07\u202e\n2 * forged'

/** An admin API that answers as the test says. @returns its address */
async function adminApi(listener: RequestListener): Promise<string> {
  const server = createServer((got, answer) => {
    answer.setHeader('Banyan-Request-Id', 'x')
    listener(got, answer)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.close().closeAllConnections()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const revision = (number: number, text: string) => ({
  revision: number,
  run: number,
  at: '2026-11-30T09:00:00.000Z',
  author: text,
  reason: text,
  summary: { changes: [{ what: 'route', name: text, change: 'removed', keys: [] }], more: 0 },
  kept: null,
  forced: false,
  yours: false,
})

test.each(['revisions', 'revert 3', 'restore 3', 'keep 3'])(
  '%s prints no control, and no line of others',
  async (words) => {
    const admin = await adminApi(({ url = '', method }, answer) => {
      if (url === '/livez') return void answer.end()
      if (method === 'GET') {
        answer.setHeader('Content-Type', 'application/json')
        return void answer.end(JSON.stringify({ current: 1, revisions: [revision(1, HOSTILE)] }))
      }
      if (url.includes('dryRun')) {
        answer.setHeader('Content-Type', 'application/json')
        return void answer.end(JSON.stringify({ undoes: [revision(5, HOSTILE), revision(4, HOSTILE)] }))
      }
      const detail = HOSTILE.split('\n')[0]
      const problem = { detail, hint: detail, conflicts: [{ place: HOSTILE }, { place: HOSTILE }] }
      answer.writeHead(409, { 'Content-Type': 'application/problem+json' }).end(JSON.stringify(problem))
    })
    const { out, err } = await banyan([...words.split(' '), '--admin', admin])
    expect(out + err).toContain('?]0;title??')
    expect(out + err).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f\u202e]/)
    expect(out + err).not.toMatch(/^2 \* forged/m)
  },
)

test('--watch ends when its pipe is closed', async () => {
  let looks = 0
  const admin = await adminApi((_, answer) => {
    answer.setHeader('Content-Type', 'application/json')
    answer.end(JSON.stringify({ current: 1, revisions: [revision(1, `look ${++looks}`)] }))
  })
  const words = ['bin/banyan.js', 'revisions', '--watch', '--json', '--admin', admin]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let told = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect([await ended, told]).toEqual([[0, null], ''])
})
