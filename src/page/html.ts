/**
 * Markup in template literals. What is put into it is always text: nothing here makes markup of a string.
 */
import htm from 'htm'
import { h, type VNode } from 'preact'

type Html = (strings: TemplateStringsArray, ...values: unknown[]) => VNode

/** As `h`, for htm: an element is made anew each time, since one that htm has kept can't be in two places. */
function make(this: unknown[], ...args: Parameters<typeof h>): VNode {
  this[0] = 3
  return h(...args)
}

// Its types are those of a CommonJS module, with the function as `default`.
const tag = htm as unknown as { bind(make: unknown): Html }

export const html = tag.bind(make)
