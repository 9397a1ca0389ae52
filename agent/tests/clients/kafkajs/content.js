'use strict'
// What record number n looks like: ../README.md has it in words, ../content.py in Python.
// kafkajs keeps headers as an object; a name that comes more than once has an array there. It cannot send a header that is null.

function content(shape, n) {
  if (shape === 'value') return { key: null, value: Buffer.from(`${n}`), headers: {} }
  const kind = n % 16
  const key =
    kind === 1 || (kind === 2 && shape === 'kcat')
      ? null
      : kind === 2
        ? Buffer.alloc(0)
        : kind === 10
          ? binary(n, 12, shape)
          : Buffer.from(`k${n}`)
  const value =
    kind === 3 || (kind === 4 && shape === 'kcat')
      ? null
      : kind === 4
        ? Buffer.alloc(0)
        : kind === 5
          ? binary(n, 256, shape)
          : Buffer.concat([Buffer.from(`v${n}:`), padding(n, kind === 15 ? 1000 : n % 89)])
  return { key, value, headers: headersOf(shape, n, kind) }
}

const LETTERS = Buffer.from(Array.from({ length: 26 + 1000 }, (_, i) => 97 + (i % 26)))

const padding = (n, length) => LETTERS.subarray(n % 26, (n % 26) + length)

function binary(n, length, shape) {
  const value = Buffer.from(Array.from({ length }, (_, i) => (n + i) % 256))
  return shape === 'text' ? Buffer.from(value.toString('hex')) : value
}

function headersOf(shape, n, kind) {
  const text = value => Buffer.from(value)
  if (shape === 'kcat') return { z: text('9'), a: [text('1'), text('2')], empty: text(''), null: null }
  if (kind === 6) return {}
  if (kind === 7) return { dup: ['1', '2', '1'].map(text) }
  if (kind === 8) {
    return { null: shape === 'no-null-header' ? text('') : null, empty: text(''), bin: binary(n, 16, shape) }
  }
  if (kind === 9) return { 'schl\u00fcssel': text('stra\u00dfe') }
  return { n: text(`${n}`), a: text('1') }
}

// What a record says of itself: no kind hides its number in both places.
function number(key, value) {
  const inValue = value && /^v?(\d+)(:|$)/.exec(value.toString('latin1'))
  if (inValue && (value[0] === 0x76 || key === null)) return Number(inValue[1])
  const inKey = key && /^k(\d+)$/.exec(key.toString('latin1'))
  if (inKey) return Number(inKey[1])
  throw new Error('a record without a number')
}

// Null and empty are different.
const same = (a, b) => (a === null || b === null ? a === b : a.equals(b))

function sameHeaders(a, b) {
  const names = Object.keys(a)
  if (names.join() !== Object.keys(b).join()) return false
  return names.every(name => {
    const [left, right] = [[].concat(a[name]), [].concat(b[name])]
    return left.length === right.length && left.every((value, i) => same(value, right[i]))
  })
}

// Every record of one topic, as it is read, against what was written to it; see ../content.py.
class TopicCheck {
  constructor(shape, layout, partitions, records) {
    Object.assign(this, { shape, layout, partitions, records, count: 0 })
    this.next = new Array(partitions).fill(0)
    this.last = new Array(partitions).fill(-1)
    this.seen = new Uint8Array(records)
  }

  add(partition, message) {
    const offset = Number(message.offset)
    const at = `partition ${partition} offset ${offset}`
    if (offset !== this.next[partition]) throw new Error(`${at}, where ${this.next[partition]} comes next`)
    this.next[partition]++
    const n =
      this.layout === 'modulo' ? offset * this.partitions + partition : number(message.key, message.value)
    const wanted = content(this.shape, n)
    if (
      !same(wanted.key, message.key) ||
      !same(wanted.value, message.value) ||
      !sameHeaders(wanted.headers, message.headers)
    ) {
      const { key, value, headers } = message
      throw new Error(`${at}: read ${JSON.stringify({ key, value, headers })}, written was ${JSON.stringify(wanted)}`)
    }
    if (n <= this.last[partition]) throw new Error(`${at}: record ${n} after record ${this.last[partition]}`)
    if (n >= this.records || this.seen[n]) throw new Error(`${at}: record ${n} twice, or never written`)
    this.last[partition] = n
    this.seen[n] = 1
    this.count++
  }
}

module.exports = { content, TopicCheck }
