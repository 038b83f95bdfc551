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
