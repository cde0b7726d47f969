//! A bad network between NASes and service: a UDP relay that loses, repeats, delays and thereby reorders datagrams, both
//! ways. (The kernel's own means for that, netem, is a module that most machines have not loaded.)

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Share that is lost.
    pub loss: f64,
    /// Share that arrives twice.
    pub twice: f64,
    /// Longest delay; each has its own, so that they overtake each other.
    pub delay: Duration,
}

/// The relay. What is on its way when it is dropped is lost.
pub struct Relay {
    /// Where NASes send.
    pub address: SocketAddr,
    sky: Arc<Mutex<Sky>>,
    running: JoinHandle<()>,
}

struct Sky {
    weather: Weather,
    dice: StdRng,
    changed: u64,
}

impl Relay {
    /// A relay to `target`, in calm weather.
    pub async fn to(target: SocketAddr, seed: u64) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let address = socket.local_addr().unwrap();
        let sky = Sky { weather: Weather::default(), dice: StdRng::seed_from_u64(seed), changed: 0 };
        let sky = Arc::new(Mutex::new(sky));
        let running = tokio::spawn(forward(socket, target, Arc::clone(&sky)));
        Self { address, sky, running }
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.sky.lock().unwrap().weather = weather;
    }

    /// How many datagrams were lost, repeated or delayed so far.
    pub fn changed(&self) -> u64 {
        self.sky.lock().unwrap().changed
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Sky {
    /// After how long each copy of a datagram arrives.
    fn fates(&mut self) -> Vec<Duration> {
        let Weather { loss, twice, delay } = self.weather;
        if self.weather == Weather::default() {
            return vec![Duration::ZERO];
        }
        self.changed += 1;
        let copies =
            if self.dice.random_bool(loss) { 0 } else { 1 + usize::from(self.dice.random_bool(twice)) };
        (0..copies).map(|_| delay.mul_f64(self.dice.random())).collect()
    }

    fn send(sky: &Mutex<Self>, datagram: &[u8], by: &Arc<UdpSocket>, to: SocketAddr) {
        let fates = sky.lock().unwrap().fates();
        for after in fates {
            let (datagram, by) = (datagram.to_vec(), Arc::clone(by));
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                // Where nobody listens it is lost, as on any network.
                _ = by.send_to(&datagram, to).await;
            });
        }
    }
}

/// Forwards what NASes send, each from a socket of its own, so that the service can tell them apart.
async fn forward(front: Arc<UdpSocket>, target: SocketAddr, sky: Arc<Mutex<Sky>>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 4_096];
    loop {
        let Ok((length, nas)) = front.recv_from(&mut buffer).await else { continue };
        let back = match backs.get(&nas) {
            Some(back) => back,
            None => {
                let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                tokio::spawn(answer(Arc::clone(&back), Arc::clone(&front), nas, Arc::clone(&sky)));
                backs.entry(nas).or_insert(back)
            }
        };
        Sky::send(&sky, &buffer[..length], back, target);
    }
}

/// Carries answers back to a NAS, as long as anybody may send some.
async fn answer(back: Arc<UdpSocket>, front: Arc<UdpSocket>, nas: SocketAddr, sky: Arc<Mutex<Sky>>) {
    let mut buffer = vec![0; 4_096];
    loop {
        if let Ok(length) = back.recv(&mut buffer).await {
            Sky::send(&sky, &buffer[..length], &front, nas);
        }
    }
}
