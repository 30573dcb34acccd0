//! A proxy before a DynamoDB on this machine that lets requests fail at random, to try the stack by hand:
//!
//!     cargo run -- --dynamodb-port 8000
//!     cargo run -p byos --example faults -- http://127.0.0.1:8000 8001 10
//!     cargo run -- --port 8081 --dynamodb-endpoint http://127.0.0.1:8001
//!
//! The arguments are the store, the port to serve on, and how many of a hundred requests fail. It prints which
//! faults were met, until Ctrl-C.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{sync::Mutex, time::Duration};

use testkit::proxy::{Dice, Proxy};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [upstream, port, percent] = &arguments[..] else {
        eprintln!("usage: faults <url of a DynamoDB> <port> <faults in a hundred requests>");
        std::process::exit(2);
    };
    let (port, percent) = (port.parse().expect("a port"), percent.parse().expect("a number up to 100"));
    let proxy = Proxy::start(upstream, port, None).await.expect("the port can't be used");
    let dice = Mutex::new(Dice(1));
    proxy.fail(move |_, _| {
        let mut dice = dice.lock().unwrap();
        dice.happens(percent).then(|| dice.fault(Duration::from_secs(4)))
    });
    println!("{} fails before {upstream}", proxy.endpoint);
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        println!("{:?}", proxy.met());
    }
}
