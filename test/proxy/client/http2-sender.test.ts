/**
 * What is sent on a connection of HTTP/2, without a socket: answers that wait for a window, and those whose stream was reset meanwhile.
 */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Http2Sender, type Sending } from '../../../src/proxy/client/http2/sender.ts'

/** A sender whose client has left no window, with an answer that waits for it. */
function starved(): { sender: Http2Sender; answer: Sending; asked: () => number } {
  const socket = { writableLength: 0, destroyed: false, writableEnded: false, write: () => true }
  const sender = new Http2Sender(socket as unknown as Socket)
  sender.window = 0
  let times = 0
  const answer: Sending = {
    ...{ isReady: false, sendNow: () => {}, tellDrained: () => {} },
    sendSome: () => {
      times++
      return 'connection-window'
    },
  }
  sender.ready(answer)
  sender.send()
  return { sender, answer, asked: () => times }
}

test('an answer that waits for the window of the connection goes on when that grows', () => {
  const { sender, asked } = starved()
  sender.send()
  expect(asked()).toBe(1)
  sender.grow(100)
  sender.send()
  expect(asked()).toBe(2)
})

test('one whose stream is reset meanwhile is let go', () => {
  const { sender, answer, asked } = starved()
  sender.drop(answer)
  expect(answer.isReady).toBe(false)
  sender.grow(100)
  sender.send()
  expect(asked()).toBe(1)
})

/** A sender with all that was written to its socket. */
function heard(): { sender: Http2Sender; text: () => string } {
  const written: string[] = []
  const write = (bytes: Buffer | string): boolean => {
    written.push(bytes.toString('latin1'))
    return true
  }
  const socket = { writableLength: 0, destroyed: false, writableEnded: false, write, cork: () => {}, uncork: () => {} }
  return { sender: new Http2Sender(socket as unknown as Socket), text: () => written.join('') }
}

test('what is sent, or ended, on another connection while one puts frames together waits for its turn', async () => {
  const one = heard()
  const another = heard()
  let isOver = false
  const answer: Sending = {
    ...{ isReady: false, sendNow: () => {}, tellDrained: () => {} },
    sendSome: (output) => {
      output.ping(Buffer.from('first, 1'), false)
      another.sender.control((to) => to.ping(Buffer.from('another1'), false))
      another.sender.send()
      another.sender.finish(() => {
        isOver = true
      })
      expect(isOver).toBe(false)
      output.ping(Buffer.from('first, 2'), false)
      return 'nothing'
    },
  }
  one.sender.ready(answer)
  one.sender.send()
  expect(one.text()).toMatch(/first, 1.*first, 2$/s)
  await expect.poll(() => isOver).toBe(true)
  expect(another.text()).toMatch(/another1$/)
  expect(another.text()).not.toContain('first')
})
